"""What is ready -> a plan of chains and chords. Pure.

A plan says which messages leave now and which of them ride on others. The store decides what may
run; a plan only saves round trips, so it may be wrong in one direction: a message too many is
dropped by the claim, and an operation that no message carries is dispatched by the completion that
releases it.

* A **chain** is a linear run: each operation's only follower waits for nothing else. Every message
  of a chain carries the whole rest of it, so its bytes would grow with the square of its length. It
  carries at most `CHAIN_LIMIT` operations, and they change lanes, which is a message each time,
  less than `CHAIN_MESSAGES` times: then a step costs the same bytes in a saga of three steps and of
  three hundred. The last operation's completion dispatches what comes next.
* A **chord** is made where two or more runs that leave now end at one join, and the join waits for
  nothing else.
* A **batch** is a chain of operations that do not wait for each other: members of a fork whose
  steps are declared batchable share a message, for messages are what a wide fork costs. A fork is
  never made one batch: its members still run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

CHAIN_LIMIT = 10  # operations in one chain
CHAIN_MESSAGES = 3  # messages that a chain takes: one for each stretch of operations on one lane
BATCH_LIMIT = 5  # operations in one batch


@dataclass(frozen=True)
class Message:
    """One operation's message. Its Celery task id is `operation_id`, on every dispatch."""

    operation_id: str
    task: str
    queue: str
    job_id: str
    item: str = ""


@dataclass(frozen=True)
class Chain:
    """1 to CHAIN_LIMIT operations' messages, each sent when the one before it is done, or not at
    all where it is run on to.

    `together`: how many of the first are ready from the start: 1, or all of them in a batch.
    """

    messages: tuple[Message, ...]
    together: int = 1


@dataclass(frozen=True)
class Chord:
    """Two or more chains that leave now, and the chain that starts at their join."""

    header: tuple[Chain, ...]
    body: Chain


Plan = tuple[Chain | Chord, ...]


class Edges(Protocol):
    """step -> its neighbours on one side."""

    def __getitem__(self, step: str, /) -> Sequence[str]: ...


@dataclass(frozen=True)
class Layout:
    """A plan in step names: `runs` leave alone, each fork is its runs and the run behind their
    join.

    `batched`: the steps that are ready now and share the message of another, in a run of their own
    kind.
    """

    runs: tuple[tuple[str, ...], ...]
    forks: tuple[tuple[tuple[tuple[str, ...], ...], tuple[str, ...]], ...]
    batched: frozenset[str] = frozenset()

    @property
    def riding(self) -> frozenset[str]:
        """The steps that wait for what an earlier message carries: all but the ready ones."""
        ridden = {step for run in self.runs for step in run[1:]}
        for header, body in self.forks:
            ridden.update(body)
            ridden.update(step for run in header for step in run[1:])
        return frozenset(ridden - self.batched)


def lay_out(
    ready: Iterable[str],
    followers: Edges,
    leaders: Edges,
    lane: Callable[[str], str],
    batchable: Callable[[str], bool] = lambda step: False,
) -> Layout:
    """Extend each ready step along its linear run, join runs that meet, and batch what is
    batchable.

    Args: `ready`, step names that wait for nothing, in rank order; `followers` and `leaders`,
    direct edges both ways; `lane` of a step, and whether it is `batchable`.
    """

    def run_from(step: str) -> tuple[str, ...]:
        run, messages = [step], 1
        while len(run) < CHAIN_LIMIT and len(followers[run[-1]]) == 1:
            following = followers[run[-1]][0]
            messages += lane(following) != lane(run[-1])
            if len(leaders[following]) != 1 or messages > CHAIN_MESSAGES:
                break
            run.append(following)
        return tuple(run)

    runs = [run_from(step) for step in ready]
    ends_at: dict[str, list[tuple[str, ...]]] = {}
    for run in runs:
        after = followers[run[-1]]
        if len(after) == 1 and len(leaders[after[0]]) > 1:
            ends_at.setdefault(after[0], []).append(run)
    forks = []
    forked: set[tuple[str, ...]] = set()
    for join, header in ends_at.items():
        if {run[-1] for run in header} == set(leaders[join]):
            forks.append((header, run_from(join)))
            forked.update(header)
    shares = _batches(
        [run[0] for run in runs if len(run) == 1 and batchable(run[0])], followers, lane
    )

    def batched(alone: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
        return tuple(dict.fromkeys(shares.get(run[0], run) for run in alone))

    return Layout(
        runs=batched(run for run in runs if run not in forked),
        forks=tuple((batched(header), body) for header, body in forks),
        batched=frozenset(step for step, batch in shares.items() if step != batch[0]),
    )


def _batches(
    steps: Iterable[str], followers: Edges, lane: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    """step -> the steps that share a message, itself among them: those of one lane that lead to the
    same. The first of them leaves.
    """
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for step in steps:
        alike.setdefault((lane(step), tuple(followers[step])), []).append(step)
    shares: dict[str, tuple[str, ...]] = {}
    for members in alike.values():
        batches = max(2, -(-len(members) // BATCH_LIMIT))
        for n in range(batches):
            batch = tuple(members[n * len(members) // batches : (n + 1) * len(members) // batches])
            shares.update(dict.fromkeys(batch, batch))
    return shares


def to_plan(layout: Layout, message: Callable[[str], Message]) -> Plan:
    """Put messages for step names."""

    def chain(run: Sequence[str]) -> Chain:
        return Chain(
            tuple(message(step) for step in run),
            together=1 + sum(step in layout.batched for step in run),
        )

    alone: list[Chain | Chord] = [chain(run) for run in layout.runs]
    return (
        *alone,
        *(Chord(tuple(chain(run) for run in header), chain(body)) for header, body in layout.forks),
    )


def leaving(plan: Plan) -> tuple[Message, ...]:
    """The messages that are published when this plan is (the others ride on them)."""
    return tuple(chain.messages[0] for chain in _first_chains(plan))


def sent_with(plan: Plan) -> tuple[Message, ...]:
    """What counts as sent when this plan is published: what leaves, and what shares its message."""
    return tuple(
        message for chain in _first_chains(plan) for message in chain.messages[: chain.together]
    )


def _first_chains(plan: Plan) -> Iterator[Chain]:
    for part in plan:
        yield from part.header if isinstance(part, Chord) else (part,)


def heads(plan: Plan) -> tuple[Message, ...]:
    """The messages that leave when this plan is published: the first of each chain."""
    return tuple(chain.messages[0] for chain in _first_chains(plan))


def without(plan: Plan, held: Collection[str]) -> Plan:
    """A plan without the chains whose first operation is held.

    A chord that lacks one leaves as its other chains: the store knows what their join waits for.
    """
    left: list[Chain | Chord] = []
    for part in plan:
        chains = part.header if isinstance(part, Chord) else (part,)
        kept = [chain for chain in chains if chain.messages[0].operation_id not in held]
        left += [part] if len(kept) == len(chains) else kept
    return tuple(left)


class UndoOrder:
    """The reversed graph among the steps that are undone, looked up step by step.

    A step is undone when everything after it is undone, also across steps that have no undo; so its
    edges are the transitive reduction of reachability among `chosen`, reversed. Nothing is worked
    out for the whole graph: a step's neighbours cost what lies between it and them, however many
    steps there are.
    """

    def __init__(
        self,
        chosen: Collection[str],
        followers: Edges,
        leaders: Edges,
        reachable: Mapping[str, frozenset[str]],
    ) -> None:
        """Args: `chosen`, the steps that are undone; the rest is the forward graph's."""
        self._chosen, self._after, self._before, self._reachable = (
            chosen,
            followers,
            leaders,
            reachable,
        )
        self.leaders, self.followers = _Lookup(self._undone_before), _Lookup(self._undone_after)

    def _undone_before(self, step: str) -> tuple[str, ...]:
        """The undos that this step's undo waits directly for."""
        near = self._nearest(step, self._after)
        further = (
            frozenset[str]().union(*(self._reachable[name] for name in near))
            if len(near) > 1
            else frozenset()
        )
        return tuple(name for name in near if name not in further)

    def _undone_after(self, step: str) -> tuple[str, ...]:
        """The undos that wait directly for this step's."""
        near = self._nearest(step, self._before)
        among = frozenset(near)
        return tuple(name for name in near if self._reachable[name].isdisjoint(among))

    def _nearest(self, step: str, edges: Edges) -> tuple[str, ...]:
        """The chosen steps met first on each path from here."""
        found: dict[str, None] = {}
        seen = {step}
        open_ends = [step]
        while open_ends:
            for name in edges[open_ends.pop()]:
                if name in seen:
                    continue
                seen.add(name)
                if name in self._chosen:
                    found[name] = None
                else:
                    open_ends.append(name)
        return tuple(found)


class _Lookup:
    """Edges that are worked out when they are asked for."""

    def __init__(self, work_out: Callable[[str], tuple[str, ...]]) -> None:
        self._work_out = work_out
        self._known: dict[str, tuple[str, ...]] = {}

    def __getitem__(self, step: str) -> tuple[str, ...]:
        if step not in self._known:
            self._known[step] = self._work_out(step)
        return self._known[step]
