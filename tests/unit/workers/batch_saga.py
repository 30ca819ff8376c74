"""A fork of batchable steps on one lane, whose members share messages: `a b c` and `d e f`. What they do is said as in `fork_saga`."""

from __future__ import annotations

from typing import Any

from surefoot import Saga
from tests.unit.workers.fork_saga import LIMIT, QUICK, Nothing, act

MEMBERS = "abcdef"
batch = Saga("batch", version=1, input=Nothing, examples=[Nothing()])


def _member(name: str) -> Any:
    def step(ctx: Any, o: Nothing) -> str:
        return act(ctx)

    step.__name__ = step.__qualname__ = name
    return step


_members = [
    batch.step(lane="east", after=[], undo=None, batchable=True, retry=QUICK, timeout=LIMIT)(
        _member(name)
    )
    for name in MEMBERS
]


@batch.step(lane="east", after=_members, undo=None, retry=QUICK, timeout=LIMIT)
def join(ctx: Any, o: Nothing) -> str:
    return act(ctx)
