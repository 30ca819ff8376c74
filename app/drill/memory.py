"""What a worker has in the globals of a developer's modules, kept apart for each worker of a drill.

The hazard: a step remembers something in a module (`_seen.add(key)`, `global token`), and another
relies on it. In one process that works, and on two workers it does not. All workers of a drill are
one process.

The answer: before a worker does something, plain values (texts, numbers, lists, sets, dicts of
such) in the globals of the saga's modules are made that worker's own. What readers, invariants and
the test environment look at is the world's, not a worker's: a fake service may be a dict of a
module. Everything else (engines, clients, objects) is shared.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from types import CodeType, FunctionType, ModuleType
from typing import Any

from surefoot.app.drill.inside import is_developers
from surefoot.app.saga.definition import Saga

Name = tuple[str, str]  # module, global
PLAIN = (str, bytes, int, float, complex, bool, type(None), Decimal, date, time, timedelta)
HOLDS_PLAIN = (list, tuple, set, frozenset, dict)
SHARED = (FunctionType, ModuleType, type)  # most of what a module holds
LONGEST = 1_000  # members of what counts as a worker's note; a larger one is a table of constants


class Memory:
    """The globals of each worker. `of(worker)`: they are the ones in force meanwhile."""

    def __init__(self, saga: Saga[Any]) -> None:
        steps = [fn for step in saga for fn in _functions_of(step)]
        self._modules = _modules_of(steps)
        observers = [*saga.effect_readers.values(), *saga.effect_listers.values(), *saga.invariants]
        self._worlds = _names_read([*observers, *([saga.world] if saga.world is not None else [])])
        self._fresh = copy.deepcopy(self._now())
        self._of: dict[int, dict[Name, Any]] = {}
        self._changed: set[Name] = set()

    @contextmanager
    def of(self, worker: int) -> Iterator[None]:
        """A worker is at work; afterwards everything is as it was."""
        outer = self._now()
        self._put(self._of.get(worker) or copy.deepcopy(self._fresh), over=outer)
        try:
            yield
        finally:
            kept = self._of[worker] = self._now()
            self._changed |= {
                name for name in kept if name not in self._fresh or kept[name] != self._fresh[name]
            }
            self._put(outer, over=kept)

    def forget(self, worker: int | None = None) -> None:
        """The worker (or all of them) has died: the next one begins anew."""
        if worker is None:
            self._of.clear()
        else:
            self._of.pop(worker, None)

    def changed(self) -> list[str]:
        """`module.name` of what a worker remembered since this was last asked, and another would
        not know.
        """
        found, self._changed = self._changed, set()
        return sorted(f"{module}.{name}" for module, name in found)

    def _now(self) -> dict[Name, Any]:
        return {
            (module, name): value
            for module in self._modules
            for name, value in vars(sys.modules[module]).items()
            if type(value) not in SHARED
            and not name.startswith("__")
            and (module, name) not in self._worlds
            and _is_plain(value)
        }

    def _put(self, kept: dict[Name, Any], *, over: dict[Name, Any]) -> None:
        """Lay `kept` over what is in the modules now."""
        for module, name in over.keys() - kept.keys():
            del vars(sys.modules[module])[name]
        for (module, name), value in kept.items():
            if (module, name) in over or name not in vars(
                sys.modules[module]
            ):  # what has become an object meanwhile is shared
                vars(sys.modules[module])[name] = value


def _is_plain(value: Any) -> bool:
    if isinstance(value, PLAIN):
        return True
    if type(value) not in HOLDS_PLAIN or len(value) > LONGEST:
        return False
    members: Iterable[Any] = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return all(_is_plain(member) for member in members)


def _functions_of(step: Any) -> list[Any]:
    parts = [
        step.fn,
        step.finder,
        step.undo and step.undo.fn,
        step.confirmation and step.confirmation.fn,
    ]
    return [inspect.unwrap(fn) for fn in parts if fn is not None]


def _modules_of(functions: Iterable[Any]) -> list[str]:
    """The developer's modules that these functions can come to, by what is in the globals of each."""
    found: dict[str, None] = {}
    waiting = [fn.__module__ for fn in functions]
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        if (
            name in found
            or module is None
            or not is_developers(getattr(module, "__file__", None) or "<none>")
        ):
            continue
        found[name] = None
        for value in list(vars(module).values()):
            inner = (
                value.__name__
                if isinstance(value, ModuleType)
                else getattr(value, "__module__", None)
            )
            waiting += [inner] if isinstance(inner, str) else []
    return sorted(found)


def _names_read(functions: Iterable[Any]) -> set[Name]:
    """The globals that these functions, and the developer's functions and classes that they name,
    look at.
    """
    found: set[Name] = set()
    seen: set[int] = set()
    waiting = [inspect.unwrap(fn) for fn in functions]
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, type):
            waiting += [getattr(member, "__func__", member) for member in vars(here).values()]
        if not isinstance(here, FunctionType) or not is_developers(here.__code__.co_filename):
            continue
        waiting += [
            inspect.unwrap(cell.cell_contents)
            for cell in here.__closure__ or ()
            if callable(_content(cell))
        ]
        names = set(_all_names(here.__code__))
        spaces = [here.__globals__]
        spaces += [
            vars(value)
            for name in names
            if isinstance(value := here.__globals__.get(name), ModuleType)
        ]
        for space in spaces:
            for name in names & space.keys():
                found.add((space.get("__name__", ""), name))
                waiting.append(
                    inspect.unwrap(space[name]) if callable(space[name]) else space[name]
                )
    return found


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _all_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_names(constant)
