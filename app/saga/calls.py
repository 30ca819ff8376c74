"""How the engine calls a developer's function: JSON in, JSON out.

Hazard: a result lives in the store between steps, and the function that reads it may run months
later on another host.
Answer: results are written and read by the return annotation of the step that makes them, so a step
is handed what its leader returned, as the same type. What does not fit is refused where it is made,
by the name of the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from surefoot.app.errors import Unreadable
from surefoot.app.rules.states import KINDS, Kind
from surefoot.app.saga.context import Context
from surefoot.app.saga.inputs import parse_input
from surefoot.app.saga.locking import keys_of
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.outcomes import Answer, Happened, NotYet, Rejected
from surefoot.app.saga.source_location import Function, accepts
from surefoot.app.saga.values import adapter, first_fault, to_json, unreadable

if TYPE_CHECKING:
    from surefoot.app.saga.definition import Saga
    from surefoot.app.saga.step import Part, Step


def invoke(
    saga: Saga[Any],
    step: str,
    kind: str,
    ctx: Context,
    input: dict[str, Any],  # noqa: A002
    results: dict[str, Any],
    own: Any | None,
) -> Any:
    """Run one operation.

    Args: `kind`, action, undo or confirm; `input`, the job's, JSON; `results`, step -> its stored
    result, at least those of the step's `after`; `own`, the step's own stored result for undo and
    confirm, None when it was never learnt.
    Returns: the result as JSON (None of an undo or a confirmation that returns nothing), or a
    NotYet.
    Raises: Unreadable when input or results cannot be read, since then nothing was done; Rejected
    when a validator of the developer's refuses the input of a job's first step; TypeError when the
    function's answer is none; LookupError when the step has no such function or `results` lacks
    one; whatever the function raises.
    """
    declared = saga[step]
    fn = function_of(declared, kind)
    request = _request(saga, declared, input, begins=kind == Kind.ACTION and not declared.after)
    given: list[
        Any
    ] = []  # with results where the function takes them; what it does not take is not read
    if kind == Kind.ACTION and accepts(fn, 2 + len(declared.after)):
        given = [_result_of(saga, name, declared, results) for name in declared.after]
    elif kind != Kind.ACTION and accepts(fn, 3):
        given = [None if own is None else _read(declared, own)]
    answer = fn(ctx, request, *given)
    if isinstance(answer, NotYet):
        return answer
    if isinstance(answer, (Happened, Answer)):
        raise TypeError(
            f"step {step}: {fn.__name__} returned {answer!r}, which is a probe's answer: return a result or NotYet(after=...)"
        )
    if kind == Kind.ACTION:
        return to_json(answer, f"the result of step {step}", declared.result_type)
    return to_json(answer, f"the result of {fn.__name__}, {kind} of step {step}")


def ask(saga: Saga[Any], step: str, ctx: Context, input: dict[str, Any]) -> Happened | Answer:  # noqa: A002
    """Ask the step's probe what happened.

    `Happened.result` comes back as JSON, fit to be the action's stored result.

    Raises: LookupError when the step has no probe; TypeError when its answer is none; whatever the
    probe raises.
    """
    declared = saga[step]
    if declared.finder is None:
        raise LookupError(f"step {step} of saga {saga.name} has no probe")
    answer = declared.finder(ctx, _request(saga, declared, input))
    if isinstance(answer, Happened):
        found = f"the result that probe {declared.finder.__name__} found for step {step}"
        return Happened(to_json(answer.result, found, declared.result_type))
    if isinstance(answer, Answer):
        return answer
    said = "None" if answer is None else type(answer).__name__
    raise TypeError(
        f"step {step}: probe {declared.finder.__name__} must return Happened(result), NEVER or UNKNOWN, not {said}"
    )


def lock_keys(
    saga: Saga[Any],
    step: str,
    input: dict[str, Any],  # noqa: A002
    tenant: str,
    *,
    most: int,
    longest: int,
) -> tuple[str, ...]:
    """The keys that a job of this tenant with this input takes before its first step, sorted; none
    when it needs none.

    Raises: Unreadable when the input cannot be read; Rejected when these are not keys; whatever the
    developer's function raises.
    """
    return keys_of(
        saga, _request(saga, saga[step], input, begins=True), tenant, most=most, longest=longest
    )


def function_of(step: Step[Any, Any], kind: str) -> Function:
    """The developer's function of one operation.

    Raises: LookupError when the step has none of that kind.
    """
    if kind == Kind.ACTION:
        return step.fn
    parts: dict[str, Part | None] = {Kind.UNDO: step.undo, Kind.CONFIRM: step.confirmation}
    part = parts.get(kind)
    if part is None:
        hint = did_you_mean(kind, KINDS)
        raise LookupError(f"step {step.name} of saga {step.saga.name} has no {kind}.{hint}")
    return part.fn


def _request(
    saga: Saga[Any],
    step: Step[Any, Any],
    input: dict[str, Any],  # noqa: A002
    *,
    begins: bool = False,
) -> Any:
    """The job's input.

    `begins`: nothing of the job may have been done, so its code may still refuse what a schema
    could not.
    """
    try:
        return parse_input(saga.input_model, input)
    except ValidationError as error:
        if begins and error.errors(include_url=False, include_input=False)[0]["type"] in (
            "value_error",
            "assertion_error",
        ):
            raise Rejected(
                f"step {step.name}: the input does not fit {saga.input_model.__name__}: {first_fault(error)}"
            ) from None
        raise unreadable(error, f"step {step.name}: the job's input", saga.input_model) from None


def _result_of(saga: Saga[Any], name: str, step: Step[Any, Any], results: dict[str, Any]) -> Any:
    if name not in results:
        raise LookupError(f"step {step.name} takes the result of {name}, which was not given")
    return _read(saga[name], results[name])


def _read(step: Step[Any, Any], stored: Any) -> Any:
    """A stored result as what its step returned. Not strictly: JSON has fewer types than Python."""
    try:
        return adapter(step.result_type).validate_python(stored)
    except ValidationError as error:
        raise unreadable(
            error, f"the stored result of step {step.name}", step.result_type
        ) from None


def cannot_read(
    saga: Saga[Any],
    input: dict[str, Any],  # noqa: A002
    results: dict[str, Any],
) -> Iterator[Unreadable]:
    """What of a job's stored data this code cannot read.

    `results`: step -> stored result, of steps that are done.
    """
    try:
        parse_input(saga.input_model, input)
    except ValidationError as error:
        yield unreadable(error, "the input", saga.input_model)
    for name, stored in results.items():
        if name in saga:
            try:
                _read(saga[name], stored)
            except Unreadable as error:
                yield error
