"""The drill world of a saga: what stands in for the real one while the saga is drilled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from inspect import isgeneratorfunction
from typing import Any

from app.errors import DefinitionError
from app.saga import source

DrillWorld = Callable[[], AbstractContextManager[Any]]


def as_world(fn: Callable[..., Any], owner: str, first: str | None) -> DrillWorld:
    """A declared drill world as a function that returns a context manager. `first`: where there was one before.

    Raises: DefinitionError when there is one already, or it takes arguments.
    """
    if first is not None:
        raise DefinitionError(f"{source.where(fn)}: {owner} has a drill world already ({first}). Keep one.")
    if not source.accepts(fn, 0):
        raise DefinitionError(f"{source.where(fn)}: {owner}: its drill world {fn.__name__} takes arguments. It is called without any.")
    return contextmanager(fn) if isgeneratorfunction(fn) else fn
