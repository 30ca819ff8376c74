"""UPDATEs that are built once for each set of columns that they set, and get the values as
parameters.

To build a statement takes longer than to run it. What a move writes of its job, or an attempt of
its operation, differs in a few ways only: which columns, and whether one of them is the database's
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ClauseElement, Float, Update, bindparam

from surefoot.app.clock import after, now

Shape = tuple[tuple[str, str], ...]
MOST_SHAPES = 500  # far more than there are; what comes after them is built anew


class Shaped:
    """`base(…)`: an UPDATE with its condition, to which the columns are added.

    Its own parameters begin with `p_`.
    """

    def __init__(self, base: Callable[[], Update], finish: Callable[[Update], Any]) -> None:
        self._base, self._finish = base, finish
        self._known: dict[Shape, Any] = {}

    def setting(self, values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The statement that sets these columns, and the parameters that it takes."""
        kinds: list[tuple[str, str]] = []
        given: dict[str, Any] = {}
        for name, value in values.items():
            if not isinstance(value, ClauseElement):
                kinds.append((name, "value"))
                given[name] = value
            elif isinstance(value, now):
                kinds.append((name, "now"))
            elif isinstance(value, after) and value.seconds is not None:
                kinds.append((name, "after"))
                given[f"p_{name}_s"] = value.seconds
            else:
                return self._finish(self._base().values(dict(values))), {}
        shape = tuple(kinds)
        statement = self._known.get(shape)
        if statement is None:
            statement = self._finish(self._base().values(_expressions(shape)))
            if len(self._known) < MOST_SHAPES:
                self._known[shape] = statement
        return statement, given


def _expressions(shape: Shape) -> dict[str, Any]:
    """What is not a plain value; those are given by the parameters that have their columns' names."""
    said: dict[str, Any] = {name: now() for name, kind in shape if kind == "now"}
    for name, kind in shape:
        if kind == "after":
            said[name] = after(bindparam(f"p_{name}_s", type_=Float))
    return said
