"""Celery's settings of our apps are those of `surefoot.celeryconfig`, and that is checked.

The hazard: Celery takes settings from many places: a handler of its signals, a module that a saga
imports, options of its command line, variables of the environment. A worker on the settings of
another project loses its quarantine, its leases and its joins, and nothing says so. The answer:
each of our apps is compared, setting by setting, with what we set and what Celery has by default; a
process with another value does not start.

Left to the caller: asking again when foreign code may have run since (`worker_init`).
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from celery import Celery
from celery.app.defaults import DEFAULTS

from surefoot.app.delivery.connection import LaneAMQP
from surefoot.app.errors import SettingsError

MODULE = "surefoot.celeryconfig"
OTHER_MODULE = "CELERY_CONFIG_MODULE"  # Celery's own word for a module of settings
GROWS = frozenset({"include", "imports"})  # Celery's command line adds the modules that it loads
# What a worker may be told on Celery's command line and must not be: setting -> the worker's
# attribute.
OF_A_WORKER = {
    "worker_consumer": "consumer_cls",
    "worker_pool": "pool_cls",
    "worker_prefetch_multiplier": "prefetch_multiplier",
}


class OwnCelery(Celery):
    """A Celery app that obeys no variable of the environment, for it may live in the process of
    another project.
    """

    expected: dict[str, Any]
    # said here, for a variable of the environment would win over a setting
    backend_cls = "surefoot.app.delivery.backend.StoreBackend"

    def connection_for_write(self, url: Any = None, *args: Any, **options: Any) -> Any:
        return super().connection_for_write(url or self._broker(), *args, **options)

    def connection_for_read(self, url: Any = None, *args: Any, **options: Any) -> Any:
        return super().connection_for_read(url or self._broker(), *args, **options)

    def _broker(self) -> Any:
        return self.conf["broker_url"]  # as an attribute it would be CELERY_BROKER_URL


@dataclass(frozen=True)
class Foreign:
    """A setting with a value that is not ours. `source`: where it is from, or ""."""

    name: str
    value: Any
    expected: Any
    source: str

    def __str__(self) -> str:
        source = f" ({self.source})" if self.source else ""
        return (
            f"Celery's setting {self.name} is {_shown(self.value)}{source}, and Surefoot needs"
            f" {_shown(self.expected)}; keep the settings of other Celery apps out of this process"
        )


def own_app(name: str, **options: Any) -> OwnCelery:
    """An app with our settings and nothing registered; `options` go to Celery."""
    ours = vars(import_module(MODULE))
    app = OwnCelery(name, fixups=[], amqp=LaneAMQP, **options)
    app.config_from_object(MODULE)
    app.expected = {key: ours.get(key, default) for key, default in DEFAULTS.items()}
    return app


def adjust(app: OwnCelery, **settings: Any) -> None:
    """Set what is particular to this app."""
    app.conf.update(settings)
    app.expected.update(settings)


def check(app: OwnCelery, worker: Any = None) -> None:
    """Raises: SettingsError, a sentence about the first setting that is not ours.

    `worker`: Celery's, before it starts.
    """
    for found in foreign(app, worker):
        raise SettingsError(str(found))


def foreign(app: OwnCelery, worker: Any = None) -> Iterator[Foreign]:
    """Every setting of this app that is not ours."""
    for name, expected in app.expected.items():
        value = app.conf.get(name)
        if name not in GROWS and value != expected:
            yield Foreign(name, value, expected, source_of(name))
    for name, attribute in OF_A_WORKER.items() if worker is not None else ():
        value, expected = getattr(worker, attribute), app.expected[name]
        if _named(value) != _named(expected):
            yield Foreign(name, _named(value), expected, "an option of Celery's command line")


def source_of(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Which module of settings of another project sets this name, as far as that can be seen; ""
    for none.
    """
    for module, told_by in other_modules(environ):
        if name in _assigned(module):
            return told_by
    return ""


def other_modules(environ: Mapping[str, str] = os.environ) -> list[tuple[Path, str]]:
    """(file, in words) of the modules of Celery settings that are here and that we do not read."""
    here = Path.cwd()
    named = environ.get(OTHER_MODULE, "")
    found = [(here / "celeryconfig.py", "as celeryconfig.py in the working directory has it")]
    if named:
        file = here / f"{named.replace('.', '/')}.py"
        found.insert(0, (file, f"as {named} has it, which {OTHER_MODULE} names"))
    return [(file, words) for file, words in found if file.is_file() and not _is_ours(file)]


def _is_ours(file: Path) -> bool:
    own = import_module(MODULE).__file__
    return own is not None and file.resolve() == Path(own).resolve()


def _assigned(module: Path) -> frozenset[str]:
    """The names that a module assigns; it is read, not run."""
    try:
        tree = ast.parse(module.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    return frozenset(names)


def _named(value: Any) -> Any:
    """A class by its name, as settings have it."""
    return f"{value.__module__}:{value.__qualname__}" if isinstance(value, type) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
