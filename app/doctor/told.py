"""Where each setting has its value from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from surefoot.app import environment
from surefoot.app.config import OurSettings, Settings, built
from surefoot.app.doctor.findings import Finding, ok, some, warn
from surefoot.app.logs import hidden
from surefoot.app.supervisor import additions

SECRET = frozenset({"api_key", "secret", "secret_also", "flower_basic_auth"})
DEFAULT = "default"


@dataclass(frozen=True)
class Told:
    """`name`: its variable; `value`, for people, without passwords; `source`: a variable, a file,
    or `default`.
    """

    name: str
    value: str
    source: str


def every_setting() -> list[Told]:
    """All settings, of the sagas that are loaded as well. Raises: SettingsError."""
    kinds: list[type[OurSettings]] = [Settings]
    kinds += [kind for kind in OurSettings.__subclasses__() if kind is not Settings]
    found: dict[str, Told] = {}
    for kind in kinds:
        prefix, values = str(kind.model_config.get("env_prefix")), built(kind)
        for field in kind.model_fields:
            told = _told(field, prefix, getattr(values, field))
            found.setdefault(told.name, told)
    return list(found.values())


def _told(field: str, prefix: str, value: object) -> Told:
    name, source = environment.variable(field, prefix), environment.origin(field, prefix)
    shown = (
        "(hidden)" if field in SECRET and value else hidden(str(value if value is not None else ""))
    )
    return Told(name, shown, environment.borrowed.get(source, source) or DEFAULT)


def told(_settings: Settings) -> Iterator[Finding]:
    """What was said, by whom, and what was said in vain."""
    yield ok("told", sources({one.name: one.source for one in every_setting()}))
    for sentence in environment.host_of_others():
        yield ok("told", sentence)
    if cleared := environment.of_libraries():
        yield ok("told", f"{some(cleared)}: not obeyed, and cleared for what Surefoot starts")
    for sentence in environment.renamed(also=additions.renamed()):
        yield warn("told", sentence, "rename that variable, or unset it")


def sources(told: Mapping[str, str]) -> str:
    """A sentence about where settings (name -> source) have their values from."""
    by: dict[str, list[str]] = {}
    for name, source in told.items():
        by.setdefault("the environment" if source == name else source, []).append(name)
    defaults = len(by.pop(DEFAULT, []))
    said = [f"{some(names)} by {source}" for source, names in by.items()]
    return "; ".join(
        [*said, f"{defaults} settings have their default (surefoot doctor --settings shows all)"]
    )
