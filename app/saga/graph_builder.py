"""From declared steps to a Graph: the order, the pivot, the limits.

For a saga without mistakes (see lint).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, Protocol

from pydantic import BaseModel

from surefoot.app.saga.graph import Compensation, Graph, Limits, Locks, Node
from surefoot.app.saga.policies import (
    ACTION_ATTEMPTS,
    ACTION_QUEUE_S,
    PAST_PIVOT_ATTEMPTS,
    UNDO_ATTEMPTS,
    UNDO_QUEUE_S,
)
from surefoot.app.saga.step import Part, Step

KeysOf = Callable[
    ..., Sequence[str]
]  # input, or input and tenant -> the keys of the locks that a job with this input takes


class Declared(Protocol):
    """A saga as its developer declared it: what assembly and lint read.

    `where`: path:line; times in seconds.
    """

    name: str
    version: int
    sla_s: float
    on_sla: str
    where: str
    steps: dict[str, Step[Any, Any]]
    locks: KeysOf | None
    on_locked: str
    lock_wait_s: float
    summary: str
    queue_timeout_s: float | None
    effect_readers: dict[str, Callable[..., Any]]
    effect_listers: dict[str, Callable[..., Any]]
    effect_undoers: dict[str, Callable[..., Any]]
    invariants: list[Callable[..., Any]]

    @property
    def input_model(self) -> type[BaseModel]: ...
    @property
    def input_schema(self) -> dict[str, Any]: ...
    @property
    def examples(self) -> tuple[BaseModel, ...]: ...
    def __getitem__(self, name: str, /) -> Step[Any, Any]: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[Step[Any, Any]]: ...


def topological(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Names in topological order, as near to the given order as it allows; those on or behind a
    cycle are left out.
    """
    names = list(after)
    place = {name: number for number, name in enumerate(names)}
    missing = {name: len(set(leaders)) for name, leaders in after.items()}
    followers: dict[str, list[str]] = {name: [] for name in names}
    for name, leaders in after.items():
        for leader in set(leaders) & place.keys():
            followers[leader].append(name)
    ready = [place[name] for name in names if not missing[name]]  # sorted, so it is a heap
    order: list[str] = []
    while ready:
        order.append(names[heappop(ready)])
        for name in followers[order[-1]]:
            missing[name] -= 1
            if not missing[name]:
                heappush(ready, place[name])
    return order


def descendants(after: Mapping[str, Sequence[str]], order: Sequence[str]) -> dict[str, set[str]]:
    """step -> every step that comes after it on some path. `order`: topological."""
    reach: dict[str, set[str]] = {name: set() for name in order}
    for name in reversed(order):
        for leader in after[name]:
            reach[leader] |= {name} | reach[name]
    return reach


def ordered_pairs(after: Mapping[str, Sequence[str]], order: Sequence[str]) -> int:
    """How many pairs of steps come one after the other on some path, counted without making them.

    `order`: topological.
    """
    place = {name: number for number, name in enumerate(order)}
    reach = dict.fromkeys(order, 0)  # a bit for each step
    for name in reversed(order):
        for leader in after[name]:
            reach[leader] |= reach[name] | 1 << place[name]
    return sum(bits.bit_count() for bits in reach.values())


def pivot_of(steps: Mapping[str, Step[Any, Any]], order: Sequence[str]) -> str | None:
    """The declared pivot, else the first irreversible step, else none."""
    declared = next((name for name in order if steps[name].pivot), None)
    return declared or next((name for name in order if steps[name].irreversible), None)


def assemble(saga: Declared) -> Graph:
    """The saga's graph, in topological order."""
    after = {step.name: step.after for step in saga}
    order = topological(after)
    pivot = pivot_of(saga.steps, order)
    past = descendants(after, order)[pivot] if pivot else set()
    nodes = tuple(
        _node(saga, saga.steps[name], pivot=name == pivot, past_pivot=name in past)
        for name in order
    )
    locks = (
        Locks(on_locked=saga.on_locked, wait_s=saga.lock_wait_s) if saga.locks is not None else None
    )
    return Graph(
        saga=saga.name,
        version=saga.version,
        sla_s=saga.sla_s,
        nodes=nodes,
        locks=locks,
        on_sla=saga.on_sla,
    )


def _node(saga: Declared, step: Step[Any, Any], *, pivot: bool, past_pivot: bool) -> Node:
    return Node(
        name=step.name,
        lane=step.lane,
        after=step.after,
        limits=_limits(saga, step, PAST_PIVOT_ATTEMPTS if past_pivot else ACTION_ATTEMPTS),
        effectful=not step.no_effect,
        pivot=pivot,
        irreversible=step.irreversible,
        past_pivot=past_pivot,
        on_unknown=step.on_unknown or "retry",
        on_unknown_undo=step.on_unknown_undo,
        probe=step.finder is not None,
        compensation=_compensation(saga, step.undo, step.lane) if step.undo else None,
        confirm=_limits(saga, step.confirmation, PAST_PIVOT_ATTEMPTS)
        if step.confirmation
        else None,
        note=step.note,
        batchable=step.batchable,
    )


def _compensation(saga: Declared, undo: Part, lane: str) -> Compensation:
    limits = _limits(saga, undo, UNDO_ATTEMPTS, UNDO_QUEUE_S)
    return Compensation(
        name=undo.name, lane=lane, fidelity=undo.fidelity, note=undo.note, limits=limits
    )


def _limits(
    saga: Declared, declared: Step[Any, Any] | Part, attempts: int, queue_s: float = ACTION_QUEUE_S
) -> Limits:
    said_s = saga.queue_timeout_s if declared.queue_timeout_s is None else declared.queue_timeout_s
    return declared.retry.limits(
        attempts=attempts,
        timeout_s=declared.timeout_s,
        queue_timeout_s=queue_s if said_s is None else said_s,
        heartbeat_timeout_s=declared.heartbeat_timeout_s,
        gives_up=said_s is not None,
    )
