"""Where a developer wrote something, and what the functions look like: read by inspection, for
messages and calls.
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable
from functools import lru_cache
from types import FrameType, NoneType, SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from surefoot.app.saga.outcomes import NotYet

Function = Callable[..., Any]
MAX_FRAMES = 6  # of a traceback, for one line of a log


def where(fn: Function) -> str:
    """`path:line` of a function: the line of its first decorator, which is mostly the line to
    change.
    """
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{_short(code.co_filename)}:{code.co_firstlineno}" if code else caller()


def at_line(fn: Function, line: int) -> str:
    """`path:line` of a line of a function's file."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{_short(code.co_filename)}:{line}" if code else caller()


def caller() -> str:
    """`path:line` of the nearest frame outside this package: what the developer just wrote."""
    frame = _developer()
    return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else "?"


def locals_of_caller() -> dict[str, Any]:
    """The names that are local where the developer writes, so that annotations of classes made in a
    function resolve.
    """
    frame = _developer()
    return {} if frame is None or frame.f_locals is frame.f_globals else dict(frame.f_locals)


def raised_in(error: BaseException, package: str) -> str:
    """`path:line` of the deepest frame of a package (and those below it) through which an exception
    came; empty when of none.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{_short(error.filename)}:{error.lineno}"
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if f"{frame.f_globals.get('__name__', '')}.".startswith(f"{package}."):
            found = f"{_short(frame.f_code.co_filename)}:{line}"
    return found


def came_from(error: BaseException) -> str:
    """Where a developer's code raised it: `path:line in function` of its last frames, the deepest
    last; no values, they may be secrets.
    """
    frames = [
        f"{_short(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not str(frame.f_globals.get("__name__", "")).startswith("surefoot.app.")
    ]
    return " > ".join(frames[-MAX_FRAMES:])


def _developer() -> FrameType | None:
    frame = inspect.currentframe()
    package = __name__.rpartition(".")[0]
    while frame and frame.f_globals.get("__name__", "").startswith(package + "."):
        frame = frame.f_back
    return frame


def _short(path: str) -> str:
    """Relative to the working directory where it lies below it: shorter, and still a link in
    editors.
    """
    try:
        here = os.getcwd() + os.sep
    except OSError:  # it was taken away
        return path
    return path[len(here) :] if path.startswith(here) else path


@lru_cache(maxsize=4096)  # a worker asks it of a step before each attempt
def accepts(fn: Function, count: int) -> bool:
    """Whether `fn` can be called with `count` positional arguments and nothing else."""
    try:
        inspect.signature(fn).bind(*range(count))
    except TypeError:
        return False
    return True


def shape(fn: Function) -> str:
    """The head of a function as its developer knows it: `charge_card(ctx, o, created)`."""
    names = [
        ("*" if p.kind is p.VAR_POSITIONAL else "") + name
        for name, p in inspect.signature(fn).parameters.items()
    ]
    return f"{getattr(fn, '__name__', 'function')}({', '.join(names)})"


def hint(fn: Function, name: str, local: dict[str, Any] | None = None) -> Any:
    """The annotation of one parameter (or "return"), evaluated; Any when there is none.

    One at a time, because the others may be imported for type checkers only.
    Raises: NameError when the annotation is a text that means nothing here.
    """
    plain = inspect.unwrap(fn)
    annotations = getattr(plain, "__annotations__", {})
    if name not in annotations:
        return Any
    alone = SimpleNamespace(__annotations__={name: annotations[name]})
    return get_type_hints(alone, getattr(plain, "__globals__", {}), local, include_extras=True)[
        name
    ]


def result_type(fn: Function, local: dict[str, Any] | None = None) -> Any:
    """What a function's result is stored as: its return annotation without outcomes, which are not
    results.
    """
    annotation = hint(fn, "return", local)
    if annotation is NotYet:
        return NoneType
    if get_origin(annotation) in (Union, UnionType):
        kept = tuple(a for a in get_args(annotation) if a is not NotYet)
        return Union[kept] if kept else NoneType  # noqa: UP007 - made from a tuple
    return annotation
