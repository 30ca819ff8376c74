"""A saga whose steps all lie on one lane: what a worker runs on to. What they do is said as in `fork_saga`."""

from __future__ import annotations

from typing import Any

from surefoot import Saga
from tests.unit.workers.fork_saga import LIMIT, QUICK, Nothing, act

road = Saga("road", version=1, input=Nothing, examples=[Nothing()])


@road.step(lane="east", undo=None, retry=QUICK, timeout=LIMIT)
def one(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@road.step(lane="east", retry=QUICK, timeout=LIMIT)
def two(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@two.compensate(fidelity="exact")
def undo_two(ctx: Any, o: Nothing, own: str | None) -> str:
    return act(ctx)


@road.step(lane="east", undo=None, retry=QUICK, timeout=LIMIT)
def three(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@road.step(lane="west", undo=None, retry=QUICK, timeout=LIMIT)
def four(ctx: Any, o: Nothing) -> str:
    return act(ctx)
