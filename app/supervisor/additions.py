"""What saga packages add to `surefoot up`: parts, their secrets and rights, a first state, an
example.

A package says so beside its commands: the module that its entry point in `surefoot.commands` names
may have an `up`, an Addition. The core starts what is added and knows nothing of what is in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from surefoot.app.errors import SettingsError
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.plugins import GROUP
from surefoot.app.supervisor.redis_rights import Rights

ATTRIBUTE = "up"


@dataclass(frozen=True)
class Begun:
    """What a package adds to one start.

    `early`: the parts that a first job needs; `late`: the others. `told`: settings for every part,
    and for the commands that are run on this home.
    """

    early: tuple[Part, ...] = ()
    late: tuple[Part, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Addition:
    """`begin` and `prepare` are places, "module:function", so that their code is read only by a
    start.

    `begin`: called with the home at each start, returns a Begun; `prepare`: called once for each
    home, with the environment of the parts, when the store is there. `secrets`: the variables with
    secrets that a part is told, by its name; those of `worker` are added to what workers are told.
    `questions`: places of doctor's questions, called with the settings, which give Findings.
    `rights`: what a part may do at a Redis of our own. `example`: a body of POST /api/v1/jobs.
    `renamed`: what settings were called before they began with SUREFOOT_.
    """

    begin: str = ""
    prepare: str = ""
    secrets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rights: Mapping[str, Rights] = field(default_factory=dict)
    questions: tuple[str, ...] = ()
    example: Mapping[str, Any] | None = None
    renamed: frozenset[str] = frozenset()


@lru_cache
def installed() -> tuple[Addition, ...]:
    """Those of all packages installed here.

    Raises: SettingsError when a package refuses its settings.
    """
    found = (_loaded(entry.module) for entry in entry_points(group=GROUP))
    return tuple(one for one in found if one is not None)


def begin(home: Path) -> Begun:
    """One start, of all packages. Raises: as `installed`."""
    begun = [
        _guarded(one.begin, partial(called, one.begin, home)) for one in installed() if one.begin
    ]
    starts: list[Begun] = [one for one in begun if one is not None]
    told: dict[str, str] = {}
    for one in starts:
        told |= one.told
    early = tuple(part for one in starts for part in one.early)
    return Begun(early, tuple(part for one in starts for part in one.late), told)


def prepare() -> None:
    """What each package does once for a home. Raises: as `installed`."""
    for one in installed():
        if one.prepare:
            _guarded(one.prepare, partial(called, one.prepare))


def secrets_of(part: str) -> frozenset[str]:
    """The secrets that a part of this name is told because of a package."""
    return frozenset().union(*(one.secrets.get(part, ()) for one in installed()))


def all_secrets() -> frozenset[str]:
    return frozenset().union(*(told for one in installed() for told in one.secrets.values()))


def rights() -> dict[str, Rights]:
    """Part -> what it may do at a Redis of our own."""
    return {part: rights for one in installed() for part, rights in one.rights.items()}


def example() -> Mapping[str, Any] | None:
    """A job that can be asked for as soon as all runs."""
    return next((one.example for one in installed() if one.example), None)


def questions() -> tuple[str, ...]:
    """The places of doctor's questions: see `called`."""
    return tuple(place for one in installed() for place in one.questions)


def called(place: str, *words: Any) -> Any:
    """Call what is at this place. Raises: whatever it does."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)(*words)


def renamed() -> frozenset[str]:
    return frozenset().union(*(one.renamed for one in installed()))


def _loaded(module: str) -> Addition | None:
    found = _guarded(module, lambda: getattr(import_module(module), ATTRIBUTE, None))
    return found if isinstance(found, Addition) else None


def _guarded(place: str, call: Callable[[], Any]) -> Any:
    """A broken package is told of and left out: the rest starts without it."""
    try:
        return call()
    except SettingsError:
        raise
    except Exception as error:
        print(f"surefoot: {place} cannot be used: {error!r}", file=sys.stderr)
        return None
