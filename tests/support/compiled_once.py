"""What libraries compile for each engine and each web application is compiled once in a test process.

Tests make thousands of stores and hundreds of web applications, of the same statements and the same routes: to compile
them anew took a quarter of their processor time. What is compiled holds nothing of the engine or application that it was
compiled for, but for the kind of database (`_kind`). Likewise what is installed is looked up once: it is an eighth of
what a web application takes to make.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from surefoot.app.saga import registry

STATEMENTS = 2000  # several times as many as there are


@cache
def share() -> None:
    """From now on."""
    _share_statements()
    _share_routes()
    registry.entry_points = cache(entry_points)  # type: ignore[assignment, attr-defined]


class _Shared:
    """Stands in an engine's place for its cache of compiled statements: a key names the kind of database, not the engine."""

    _all: LRUCache[Any, Any] = LRUCache(STATEMENTS)

    def get(self, key: tuple[Any, ...]) -> Any:
        return self._all.get((_kind(key[0]), *key[1:]))

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        self._all[(_kind(key[0]), *key[1:])] = compiled

    def clear(self) -> None:
        self._all.clear()


def _kind(dialect: Any) -> tuple[Any, ...]:
    """What of an engine's dialect decides how a statement is compiled and its values are converted."""
    return (
        type(dialect),
        dialect.server_version_info,
        dialect.paramstyle,
        dialect._json_serializer,
        dialect._json_deserializer,
    )


def _share_statements() -> None:
    make = Engine.__init__

    def make_sharing(self: Engine, *args: Any, **more: Any) -> None:
        make(self, *args, **more)
        if self._compiled_cache is not None:
            self._compiled_cache = _Shared()  # type: ignore[assignment]

    Engine.__init__ = make_sharing  # type: ignore[method-assign]


def _share_routes() -> None:
    """A route's builder of addresses asks the rule that it is called on for its converters."""
    builders: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}
    compile_builder = Rule._compile_builder

    def compile_once(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (self.rule, tuple(self._trace), repr(self.defaults), append_unknown)
        if key not in builders:
            builders[key] = compile_builder(self, append_unknown)
        return builders[key]

    Rule._compile_builder = compile_once  # type: ignore[method-assign]
