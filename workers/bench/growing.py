"""The sagas that grow: a chain of so many steps, a fork of so many members, a step that waits for a
month.
"""

from __future__ import annotations

from typing import Any

from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NotYet, Rejected
from surefoot.workers.bench.sagas import Nothing, empty

PARKED_S = 30 * 24 * 3600.0


def chain(steps: int, lanes: int, *, undone: bool = False) -> Saga[Nothing]:
    """Steps one after the other; `undone`: the last one is refused, so all others are undone."""
    saga = Saga(
        f"bench_{'undone' if undone else 'chain'}_{steps}_{lanes}", version=1, input=Nothing
    )
    for number in range(steps):
        lane = f"bench_{'abc'[number % lanes]}"
        if not undone:
            saga.step(lane=lane, undo=None)(empty(f"step_{number}"))
        else:
            step = saga.step(lane=lane)(empty(f"step_{number}"))
            step.compensate(fidelity="exact")(empty(f"undo_{number}"))
    if undone:
        saga.step(lane="bench_a", no_effect=True)(refused)
    return saga


def refused(ctx: Any, o: Nothing) -> None:
    raise Rejected("no")


def fork(members: int) -> Saga[Nothing]:
    saga = Saga(f"bench_fork_{members}", version=1, input=Nothing)
    made = [
        saga.step(lane="bench_a", after=[], undo=None)(empty(f"member_{number}"))
        for number in range(members)
    ]
    saga.step(lane="bench_a", after=made, undo=None)(empty("join"))
    return saga


def parked() -> Saga[Nothing]:
    saga = Saga("bench_parked", version=1, input=Nothing)
    saga.step(lane="bench_a", undo=None)(parks)
    return saga


def parks(ctx: Any, o: Nothing) -> NotYet:
    return NotYet(PARKED_S)
