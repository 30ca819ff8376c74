"""A fan-out of ten that meet in one step, for tests of the workers. What its steps do is said as for `fork_saga`."""

from __future__ import annotations

from typing import Any

from surefoot import Saga
from tests.unit.workers.fork_saga import LIMIT, QUICK, Nothing, act

wide = Saga("wide", version=1, input=Nothing, examples=[Nothing()])
ARMS = tuple(f"arm_{n}" for n in range(10))


def step(name: str) -> Any:
    def arm(ctx: Any, o: Nothing) -> str:
        return act(ctx)

    arm.__name__ = arm.__qualname__ = name
    return arm


root = wide.step(lane="east", undo=None, retry=QUICK, timeout=LIMIT)(step("root"))
arms = [
    wide.step(lane="east", after=[root], undo=None, retry=QUICK, timeout=LIMIT)(step(name))
    for name in ARMS
]
meet = wide.step(lane="west", after=arms, pivot=True, retry=QUICK, timeout=LIMIT)(step("meet"))
