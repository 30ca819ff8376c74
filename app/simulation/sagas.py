"""Sagas drawn from a number: any graph the lint lets pass, with every promise a step can make."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from surefoot.app.saga.definition import Saga
from surefoot.app.saga.policies import Retry
from surefoot.app.saga.step import Step
from surefoot.app.simulation.service import SimService

LANES = ("a", "b", "c")


class Thing(BaseModel):
    name: str = "thing"


@dataclass(frozen=True)
class StepPlan:
    """One step as drawn.

    `promise`: undo, pure (no_effect), stays (undo=None), pivot, final (irreversible), onward (past
    the pivot).
    """

    name: str
    after: tuple[str, ...]
    lane: str
    promise: str
    attempts: int
    undo_attempts: int = 10
    replay: bool = False
    probe: bool = False
    confirm: bool = False
    on_unknown: str = "retry"
    brief: bool = False
    bare: bool = False  # its service has no barrier: what is asked for twice happens twice

    @property
    def on_books(self) -> bool:
        """Whether its service can say afterwards what it did."""
        return self.promise != "pure" and not self.bare

    def __str__(self) -> str:
        marks = [
            mark for mark in ("replay", "probe", "confirm", "brief", "bare") if getattr(self, mark)
        ]
        after = f" after {','.join(self.after)}" if self.after else ""
        return f"{self.name}: lane {self.lane}, {'+'.join([self.promise, *marks])}, {self.attempts} tries{after}"


def draw(chance: random.Random) -> tuple[StepPlan, ...]:
    """A graph of one to seven steps: a random part that can be undone, then perhaps a pivot, then a
    part that only goes on.
    """
    lanes = LANES[: chance.choice((1, 2, 3))]
    plans: list[StepPlan] = []
    for number in range(chance.choice((1, 2, 2, 3, 3, 4, 5))):
        before = [plan.name for plan in plans]
        after = _some(chance, before)
        promise = chance.choices(("undo", "pure", "stays"), (7, 2, 1))[0]
        undo = promise == "undo"
        plans.append(
            StepPlan(
                f"s{number}",
                after,
                chance.choice(lanes),
                promise,
                chance.choice((1, 2, 3)),
                chance.choice((1, 3, 10)),
                replay=undo and chance.random() < 0.15,
                probe=promise != "pure" and chance.random() < 0.2,
                confirm=chance.random() < 0.1,
            )
        )
    if chance.random() < 0.6:
        ends = tuple(
            plan.name for plan in plans if not any(plan.name in other.after for other in plans)
        )
        final = chance.random() < 0.3
        unknown = chance.choice(("retry", "attention"))
        plans.append(
            StepPlan(
                "turn",
                ends,
                chance.choice(lanes),
                "final" if final else "pivot",
                chance.choice((1, 2)),
                on_unknown=unknown,
            )
        )
        onward: list[str] = []
        for number in range(chance.choice((0, 1, 2))):
            name = f"p{number}"
            after = _some(chance, onward) or ("turn",)
            promise = chance.choice(("onward", "onward", "final"))
            plans.append(
                StepPlan(
                    name,
                    after,
                    chance.choice(lanes),
                    promise,
                    chance.choice((1, 3)),
                    on_unknown=unknown,
                )
            )
            onward.append(name)
    return _fan(chance) if chance.random() < 0.12 else _some_confirmed(plans)


def _some_confirmed(plans: Sequence[StepPlan]) -> tuple[StepPlan, ...]:
    """Some steps from the pivot on are confirmed too: they are what a person may waive.

    Drawn apart from the rest of the saga.
    """
    chance = random.Random(repr(plans))
    onward = ("pivot", "final", "onward")
    return tuple(
        replace(plan, confirm=chance.random() < 0.15) if plan.promise in onward else plan
        for plan in plans
    )


def to_be_learnt(plans: Sequence[StepPlan]) -> tuple[StepPlan, ...]:
    """What can be undone has a probe, or is done once more before its undo, by turns."""
    return tuple(
        replace(plan, replay=number % 2 == 0, probe=number % 2 == 1, undo_attempts=10)
        if plan.promise == "undo"
        else plan
        for number, plan in enumerate(plans)
    )


def _fan(chance: random.Random) -> tuple[StepPlan, ...]:
    """A fork of batchable steps, most of them on one lane, perhaps behind a first step; a join, and
    perhaps a step behind that.
    """
    first = [StepPlan("first", (), "a", "undo", 2)] if chance.random() < 0.5 else []
    after = tuple(plan.name for plan in first)
    members = [
        StepPlan(
            f"m{number}",
            after,
            chance.choice("aaab"),
            chance.choices(("undo", "pure", "stays"), (7, 2, 1))[0],
            chance.choice((1, 2, 3)),
            chance.choice((1, 3, 10)),
            brief=chance.random() < 0.9,
        )
        for number in range(chance.choice((3, 4, 5, 6)))
    ]
    join = StepPlan(
        "join",
        tuple(plan.name for plan in members),
        chance.choice("ab"),
        chance.choice(("undo", "pivot")),
        2,
    )
    behind = (
        [StepPlan("behind", ("join",), "a", "onward" if join.promise == "pivot" else "undo", 2)]
        if chance.random() < 0.5
        else []
    )
    return (*first, *members, join, *behind)


def _some(chance: random.Random, names: Sequence[str]) -> tuple[str, ...]:
    if not names or chance.random() < 0.2:
        return ()
    chosen = chance.sample(names, min(len(names), chance.choice((1, 1, 2, 3))))
    return tuple(sorted(chosen))


def build(
    name: str, plans: Sequence[StepPlan], service: SimService, *, version: int = 1, **says: Any
) -> Saga[Any]:
    """The saga of these plans; every function of it is the service's `act`.

    `says`: what it says beside its steps.
    """
    saga: Saga[Any] = Saga(name, version=version, input=Thing, examples=[Thing()], **says)
    for plan in plans:
        _declare(saga, plan, service)
    return saga


def _declare(saga: Saga[Any], plan: StepPlan, service: SimService) -> None:
    version = saga.version

    def action(ctx: Any, o: Any) -> Any:
        return service.act(ctx, version, bare=plan.bare)

    def other(ctx: Any, o: Any) -> Any:
        return service.act(ctx, version)

    action.__name__ = action.__qualname__ = plan.name
    final = plan.promise == "final"
    more: dict[str, Any] = {"undo": None} if plan.promise == "stays" else {}
    step: Step[Any, Any] = saga.step(
        lane=plan.lane,
        after=list(plan.after),
        retry=Retry(limit=plan.attempts),
        timeout=30,
        no_effect=plan.promise == "pure",
        batchable=plan.brief,
        pivot=plan.promise == "pivot",
        irreversible=final,
        on_unknown=("attention" if plan.on_unknown == "attention" else "retry") if final else None,
        on_unknown_undo="replay" if plan.replay else "undo",
        **more,
    )(action)
    if plan.promise == "undo":
        step.compensate(fidelity="exact", retry=Retry(limit=plan.undo_attempts), timeout=30)(
            _named(other, f"undo_{plan.name}")
        )
    if plan.probe:
        step.probe(_named(lambda ctx, o: service.find(ctx), f"find_{plan.name}"))
    if plan.confirm:
        step.confirm(retry=Retry(limit=5), timeout=30)(
            _named(lambda ctx, o: service.act(ctx, version), f"confirm_{plan.name}")
        )


def _named(fn: Any, name: str) -> Any:
    fn.__name__ = fn.__qualname__ = name
    return fn
