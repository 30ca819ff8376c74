"""Sagas of empty steps: what is measured is the engine alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from surefoot import Saga

MEMBERS = 10


class Nothing(BaseModel):
    """An empty input."""


one_lane = Saga("bench_one_lane", version=1, input=Nothing, examples=[Nothing()])
lanes = Saga("bench_lanes", version=1, input=Nothing, examples=[Nothing()])
fork = Saga("bench_fork", version=1, input=Nothing, examples=[Nothing()])
fork_apart = Saga("bench_fork_apart", version=1, input=Nothing, examples=[Nothing()])
ALL = (one_lane, lanes, fork, fork_apart)


def empty(name: str) -> Callable[..., None]:
    """A step of this name that does nothing."""

    def step(ctx: Any, o: Nothing) -> None:
        return None

    step.__name__ = step.__qualname__ = name
    return step


for _saga, _lanes in (
    (one_lane, ("bench_a", "bench_a", "bench_a")),
    (lanes, ("bench_a", "bench_b", "bench_c")),
):
    for _name, _lane in zip(("first", "second", "third"), _lanes, strict=True):
        _saga.step(lane=_lane, undo=None)(empty(_name))

for _saga, _batchable in ((fork, True), (fork_apart, False)):
    _members = [
        _saga.step(lane="bench_a", after=[], undo=None, batchable=_batchable)(empty(f"member_{n}"))
        for n in range(1, MEMBERS + 1)
    ]
    _saga.step(lane="bench_a", after=_members, undo=None)(empty("join"))
