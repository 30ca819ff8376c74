"""What a developer's functions look like, held against how they are called: their parameters, and
the types that meet there.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, is_typeddict

from pydantic import BaseModel, PydanticUserError

from surefoot.app.saga.context import Context
from surefoot.app.saga.graph_builder import Declared
from surefoot.app.saga.roundtrip import unkeepable
from surefoot.app.saga.source_location import Function, accepts, hint, shape, where
from surefoot.app.saga.step import Step
from surefoot.app.saga.values import adapter, comes_back, type_name

_PLAIN = (str, int, float, bool, bytes, list, dict, tuple, set, frozenset, NoneType)
_TAKES: dict[type, tuple[type, ...]] = {float: (float, int)}  # as annotations mean it everywhere


def of_step(saga: Declared, step: Step[Any, Any]) -> Iterator[str]:
    """Signatures: (ctx, o), with the results of after= in that order if the step takes them."""
    many = f"(ctx, o, {', '.join(step.after)})" if step.after else "(ctx, o)"
    yield from _operation(f"step {step.name}", step.fn, (2 + len(step.after), 2), many)
    if step.undo:
        yield from _operation(
            f"undo {step.undo.name} of step {step.name}", step.undo.fn, (3, 2), "(ctx, o, result)"
        )
    if step.confirmation:
        part = step.confirmation
        yield from _operation(
            f"confirmation {part.name} of step {step.name}", part.fn, (3, 2), "(ctx, o, result)"
        )
    if step.finder:
        yield from _operation(
            f"probe {step.finder.__name__} of step {step.name}", step.finder, (2,), "(ctx, o)"
        )
    told = f"{step.where}: step {step.name} returns"
    try:
        adapter(step.result_type)
    except NameError as error:
        yield f"{told} a type that cannot be found: {error}. Import it at run time, not for type checkers only."
        return
    except PydanticUserError:
        yield f"{told} {type_name(step.result_type)}, which cannot be kept as JSON. {_remedy(step.result_type)}"
        return
    if (why := unkeepable(step.result_type, comes_back)) is not None:
        yield f"{told} what would not come back from JSON as it was: {type_name(step.result_type)} {why}."
    yield from _types(saga, step)


def of_readers(saga: Declared) -> Iterator[str]:
    """What reconciliation and drills call."""
    for service, fn in saga.effect_readers.items():
        yield from _called(f"reader {fn.__name__} of {service!r}", fn, (1,), "(keys)")
    for service, fn in saga.effect_listers.items():
        yield from _called(
            f"{fn.__name__}, which lists the effects of {service!r},", fn, (2,), "(first, last)"
        )
    for service, fn in saga.effect_undoers.items():
        yield from _called(
            f"{fn.__name__}, which undoes an effect of {service!r},", fn, (2,), "(ctx, report)"
        )
    for fn in saga.invariants:
        yield from _called(f"invariant {fn.__name__}", fn, (1,), "(world)")


def _operation(what: str, fn: Function, counts: tuple[int, ...], many: str) -> Iterator[str]:
    """A function whose answer is kept, so it must not be a generator."""
    if inspect.isgeneratorfunction(fn):
        yield f"{where(fn)}: {what} is a generator, but workers call plain functions. Write it with def and return."
    else:
        yield from _called(what, fn, counts, many)


def _called(what: str, fn: Function, counts: tuple[int, ...], many: str) -> Iterator[str]:
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        yield f"{where(fn)}: {what} is async, but workers call plain functions. Write it with def and return."
    elif not any(accepts(fn, count) for count in counts):
        either = f"{many} or (ctx, o)" if len(set(counts)) > 1 else many
        yield f"{where(fn)}: {what} is {shape(fn)}, but is called with {either}. Change its parameters."


def _remedy(annotation: Any) -> str:
    if (
        is_typeddict(annotation) and type(annotation).__module__ == "typing"
    ):  # pydantic needs the newer one before Python 3.12
        return "Take TypedDict from typing_extensions."
    return "Return a pydantic model or plain data."


def _types(saga: Declared, step: Step[Any, Any]) -> Iterator[str]:
    """Annotated classes that cannot be what will be passed. Silent about anything it cannot tell."""
    first: list[tuple[str, Any]] = [("the context", Context), ("the input", saga.input_model)]
    expected = list(first)
    leaders = [saga[name] for name in step.after if name in saga]
    for leader in leaders:
        try:
            expected.append((f"the result of {leader.name}", leader.result_type))
        except NameError:  # told at that step
            expected.append(("", Any))
    own = [*first, (f"the result of {step.name}", step.result_type)]
    calls = [
        (
            step.fn,
            expected
            if len(leaders) == len(step.after) and accepts(step.fn, 2 + len(leaders))
            else first,
        )
    ]
    calls += [(part.fn, own) for part in (step.undo, step.confirmation) if part]
    calls += [(step.finder, first)] if step.finder else []
    for fn, passed in calls:
        for name, (what, given) in zip(positional(fn), passed, strict=False):
            try:
                wanted = hint(fn, name, step.local)
            except NameError:
                continue
            if never_fits(given, wanted):
                order = (
                    ", or the order of after=" if passed is expected and len(expected) > 3 else ""
                )
                yield (
                    f"{where(fn)}: {fn.__name__}: parameter {name} is {type_name(wanted)}, but is given {what}, "
                    f"which is {type_name(given)}. Change the annotation{order}."
                )


def positional(fn: Function) -> list[str]:
    """The names of a function's parameters that take a value by its place, without `*args`."""
    return [
        name
        for name, p in inspect.signature(fn).parameters.items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def never_fits(given: Any, wanted: Any) -> bool:
    """Whether a value of one class (None: none at all) cannot be of any of the classes that are
    wanted. False when in doubt.
    """
    choices = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    kind, kinds = _kind(given), [_kind(choice) for choice in choices]
    return kind is not None and all(
        wish is not None and not issubclass(kind, _TAKES.get(wish, wish)) for wish in kinds
    )


def _kind(annotation: Any) -> type | None:
    """The class of what is annotated, where instances of other classes are surely something else;
    else None.
    """
    kind = NoneType if annotation is None else get_origin(annotation) or annotation
    known = isinstance(kind, type) and (issubclass(kind, (BaseModel, Context)) or kind in _PLAIN)
    return kind if known else None
