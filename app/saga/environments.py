"""The test environment of a saga: what stands in for the real one while the saga is drilled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

from surefoot.app.errors import DefinitionError
from surefoot.app.saga import source_location

MakeEnvironment = Callable[[], AbstractContextManager[Any]]


def as_world(fn: Callable[..., Any], owner: str, first: str | None) -> MakeEnvironment:
    """A declared test environment as a function that returns a context manager.

    `first`: where there was one before.

    Raises: DefinitionError when there is one already, or it takes arguments.
    """
    if first is not None:
        raise DefinitionError(
            f"{source_location.where(fn)}: {owner} has a test environment already ({first}). Keep one."
        )
    if not source_location.accepts(fn, 0):
        raise DefinitionError(
            f"{source_location.where(fn)}: {owner}: its test environment {fn.__name__} takes arguments. It is called without any."
        )
    made = contextmanager(fn) if isgeneratorfunction(fn) else fn

    @wraps(fn)
    def told() -> AbstractContextManager[Any]:
        return _Told(
            made, f"{source_location.where(fn)}: {owner}: its test environment {fn.__name__}"
        )

    return told


class _Told(AbstractContextManager[Any]):
    """A developer's world whose own failures are told as such, by its line."""

    def __init__(self, make: Callable[[], Any], what: str) -> None:
        self._make, self._what = make, what

    def __enter__(self) -> Any:
        try:
            made = self._make()
            if isinstance(made, AbstractContextManager):
                self._world: AbstractContextManager[Any] = made
                return made.__enter__()
        except Exception as error:
            raise self._failed(error, "cannot be set up") from error
        raise DefinitionError(
            f"{self._what} gives {type(made).__name__}. Write a function that yields once."
        )

    def __exit__(self, *error: Any) -> bool | None:
        try:
            return self._world.__exit__(*error)
        except Exception as failed:
            raise self._failed(failed, "cannot be cleared up") from failed

    def _failed(self, error: Exception, how: str) -> DefinitionError:
        return DefinitionError(f"{self._what} {how}: {type(error).__name__}: {error}.")
