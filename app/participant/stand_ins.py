"""What plays another machine in a test or a drill, and lives in this process all the same.

A drill strikes between the lines of a step. A server that is an object of this process would be
struck in the middle of its own transaction, which no death of a worker can do to a real one: so it
is said to be a stand-in, and passed over.
"""

from __future__ import annotations

import inspect
from types import CodeType
from typing import Any, TypeVar

T = TypeVar("T", bound=Any)

_codes: set[tuple[str, int, str]] = set()


def stand_in(made: T) -> T:
    """Say of a function or a class that it stands for another machine: a drill never strikes inside
    it. For decorating.

    Raises: TypeError for anything else.
    """
    if not (inspect.isfunction(made) or inspect.isclass(made)):
        raise TypeError(f"stand_in marks a function or a class, not {type(made).__name__}")
    members = [made] if inspect.isfunction(made) else vars(made).values()
    functions = [
        getattr(member, "__func__", member) for member in members
    ]  # of a static method, too
    _codes.update(_named(inspect.unwrap(f).__code__) for f in functions if inspect.isfunction(f))
    return made


def stands_in(code: CodeType) -> bool:
    """Whether this is code of a stand-in."""
    return _named(code) in _codes


def _named(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name
