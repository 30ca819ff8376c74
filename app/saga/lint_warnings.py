"""What could be better in a saga that has no mistake: told for sure from its definition, and
refused nowhere.

A mistake (lint.py) keeps a saga from being run. What stands here runs, and surprises somebody
later: a time-out that is never reached, a difference that no user is told of, effects that
reconciliation cannot ask about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from surefoot.app.rules.fidelities import Fidelity
from surefoot.app.saga import reading
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.policies import seconds
from surefoot.app.saga.signatures import never_fits, positional
from surefoot.app.saga.source_location import accepts, hint
from surefoot.app.saga.step import Step

LaneLimit = Callable[
    [str], float
]  # lane -> the longest that an operation of it may take, in seconds


@dataclass(frozen=True)
class Advice:
    """`where`: path:line; `step`: "" when it is about the saga; `says`: what is so, and what to
    write.
    """

    where: str
    step: str
    says: str


def advice(saga: Saga[Any], lane_limit_s: LaneLimit) -> list[Advice]:
    """For a saga without mistakes, in the order of declaration."""
    found = [one for step in saga for one in _of_step(saga, step, lane_limit_s)]
    return [Advice(saga.where, "", says) for says in _of_saga(saga)] + found


def _of_saga(saga: Saga[Any]) -> Iterator[str]:
    if not saga.examples:
        yield "has no examples: neither a drill nor a check of its locks has an input to try. Say examples=[...]."
    if saga.world is None and not all(step.safe_to_drill for step in saga):
        yield "cannot be drilled. Declare its test environment (@saga.test_environment), or say safe_to_drill=True at each step."
    unread = [
        step.name
        for step in saga
        if not step.no_effect
        and not any(step.name in saga.steps_of(service) for service in saga.effect_readers)
    ]
    if unread:
        which = ", ".join(unread)
        yield (
            f"does not say which service has the effects of {which}, so reconciliation cannot tell that one is missing there. "
            "Write a reader under @saga.effect_reader(service, steps=[...])."
        )


def _of_step(saga: Saga[Any], step: Step[Any, Any], lane_limit_s: LaneLimit) -> Iterator[Advice]:
    if step.no_undo and not step.note:
        says = "is never undone (undo=None), but nothing tells users of an undone job what stays. Say it in note=."
        yield Advice(step.where, step.name, says)
    if step.undo and step.undo.fidelity != Fidelity.EXACT and not step.undo.note:
        says = f"is undone by {step.undo.name} as {step.undo.fidelity!r}, but users are not told the difference. Say it in note=."
        yield Advice(step.undo.where, step.name, says)
    yield from _of_undo(step)
    yield from (Advice(where, step.name, says) for where, says in reading.of_step(step))
    if step.undo and step.undo.retry.for_ is not None:
        action_s = saga.sla_s if step.retry.for_ is None else seconds(step.retry.for_)
        if seconds(step.undo.retry.for_) <= action_s:
            says = (
                f"is tried for {action_s:g} s, and its undo {step.undo.name} for {seconds(step.undo.retry.for_):g} s: "
                "an outage that ends the one outlasts the other. Say a longer for_=, or none."
            )
            yield Advice(step.undo.where, step.name, says)
    for what, part in (
        ("a", step),
        ("an undo with a", step.undo),
        ("a confirmation with a", step.confirmation),
    ):
        if part is None:
            continue
        limit_s = lane_limit_s(step.lane)
        if part.timeout_s > limit_s:
            says = (
                f"has {what} timeout of {part.timeout_s:g} s, and its lane {step.lane} is made for {limit_s:g} s. "
                'Say a shorter one, or lane="slow".'
            )
            yield Advice(part.where, step.name, says)
    if step.timeout_s > saga.sla_s:
        says = f"may take {step.timeout_s:g} s, and its job is late after {saga.sla_s:g} s. Say a longer sla=, or a shorter timeout=."
        yield Advice(step.where, step.name, says)


def _of_undo(step: Step[Any, Any]) -> Iterator[Advice]:
    """The step's result, which its undo counts on, and which nobody may have learnt."""
    undo = step.undo
    if undo is None or step.on_unknown_undo == "replay" or not accepts(undo.fn, 3):
        return
    for name in positional(undo.fn)[2:3]:
        try:
            missed = never_fits(None, hint(undo.fn, name, step.local))
        except NameError:  # imported for type checkers only: cannot be told
            continue
        if missed:
            says = (
                f"is undone by {undo.name}, whose {name} is None when the result was never learnt (a crash, a time-out). "
                "Say `| None`, and undo by ctx.action_key."
            )
            yield Advice(undo.where, step.name, says)
