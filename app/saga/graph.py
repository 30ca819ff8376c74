"""A saga as data: what is pinned to a job, kept in the catalogue, and read by every process that
lacks the saga's code.

Nothing here is code of a user. The digest covers all of it, so two processes that agree on a digest
agree on the graph, the limits, and what each step promises.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, TypeVar

from surefoot.app.rules.states import Kind
from surefoot.app.saga.schemas import without_words

T = TypeVar("T")
# field -> its key in stored definitions, which digests cover: a job is pinned to one, so a key
# keeps its first name
STORED_AS = {
    "on_unknown_undo": "settle",
    "batchable": "brief",
    "heartbeat_timeout_s": "stall_timeout_s",
}


@dataclass(frozen=True)
class Limits:
    """What one operation may use.

    `attempts`: how many end badly before it is given up; the rest in seconds.

    `counted`: its saga says so (`Retry(limit=5)`), so every attempt counts; else only those that
    are known to be wrong, and what else fails is bounded by time: `for_s` where its saga says one
    (`Retry(for_="10m")`), else `Graph.patience_s`.

    `queue_timeout_s`: how long it may lie ready before a worker claims it; `gives_up`: it is given
    up then, since the saga says so (else the missing workers are reported, and it waits).
    `heartbeat_timeout_s`: how long an attempt may go without a heartbeat (ctx.progress,
    ctx.checkpoint, ctx.check); None: as long as it may run.
    """

    attempts: int
    timeout_s: float
    queue_timeout_s: float
    backoff_s: float = 1.0
    backoff_factor: float = 2.0
    backoff_cap_s: float = 60.0
    heartbeat_timeout_s: float | None = None
    gives_up: bool = False
    counted: bool = False
    for_s: float | None = None


@dataclass(frozen=True)
class Compensation:
    """How a step is undone. `fidelity`: exact, equivalent, partial or notice."""

    name: str
    lane: str
    fidelity: str
    note: str
    limits: Limits


@dataclass(frozen=True)
class Node:
    """One step of the graph.

    `after`: names of the steps it waits for, in the order their results are passed.
    """

    name: str
    lane: str
    after: tuple[str, ...]
    limits: Limits
    effectful: bool = True
    pivot: bool = False
    irreversible: bool = False
    past_pivot: bool = False
    on_unknown: str = (
        "retry"  # of an irreversible step: "retry" (at least once) or "attention" (at most once)
    )
    # what the undo of an unknown outcome does first: "undo" (at once) or "replay" the action
    on_unknown_undo: str = "undo"
    probe: bool = False
    compensation: Compensation | None = None
    confirm: Limits | None = None
    note: str = ""
    batchable: bool = (
        False  # its function takes milliseconds: in a fork it may share a message with others
    )

    @property
    def irrevocable(self) -> bool:
        """From its claim on the job only goes forward (or a person decides)."""
        return self.pivot or self.irreversible or self.past_pivot

    @property
    def at_most_once(self) -> bool:
        """Whether an attempt of unknown outcome is answered by a person, and by nothing else."""
        return self.irreversible and self.on_unknown == "attention" and not self.probe

    def limits_of(self, kind: str) -> Limits:
        """The limits of this step's action, undo or confirmation."""
        if kind == Kind.UNDO and self.compensation is not None:
            return self.compensation.limits
        if kind == Kind.CONFIRM and self.confirm is not None:
            return self.confirm
        return self.limits

    def lane_of(self, kind: str) -> str:
        """The lane on which it runs."""
        return (
            self.compensation.lane
            if kind == Kind.UNDO and self.compensation is not None
            else self.lane
        )


@dataclass(frozen=True)
class Locks:
    """That a saga's jobs take locks before their first step; which ones is code.

    `wait_s`: how long a job waits for them.

    `on_locked`: "wait" (in a fair queue) or "fail" (at once, with nothing done).
    """

    on_locked: str
    wait_s: float


def _known(kind: type[T], said: dict[str, Any]) -> T:
    """An instance of `said`.

    Keys that only newer code knows are left out: that code runs the definition.
    """
    names = {STORED_AS.get(one.name, one.name): one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{names[key]: value for key, value in said.items() if key in names})


@dataclass(frozen=True)
class Graph:
    """A saga's steps in topological order, with the orders derived from them.

    `locks`: None where a saga takes none.

    `on_sla`: what becomes of a job that takes longer than `sla_s`: "ask", "redrive" or
    "compensate".
    """

    saga: str
    version: int
    sla_s: float
    nodes: tuple[Node, ...] = field(default_factory=tuple)
    locks: Locks | None = None
    on_sla: str = "ask"

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def followers(self) -> dict[str, tuple[str, ...]]:
        """step -> the steps that wait directly for it, in topological order."""
        found: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for leader in node.after:
                found[leader].append(node.name)
        return {name: tuple(names) for name, names in found.items()}

    @cached_property
    def leaders(self) -> dict[str, tuple[str, ...]]:
        """step -> the steps it waits directly for."""
        return {n.name: n.after for n in self.nodes}

    @cached_property
    def reachable(self) -> dict[str, frozenset[str]]:
        """step -> every step that comes after it on some path."""
        reach: dict[str, frozenset[str]] = {}
        for node in reversed(self.nodes):
            direct = self.followers[node.name]
            reach[node.name] = frozenset(direct).union(*(reach[d] for d in direct))
        return reach

    @cached_property
    def last(self) -> str | None:
        """The step whose completion ends the job: the only one that nothing follows, and no
        confirmation and no lock's end either.
        """
        sinks = [node.name for node in self.nodes if not self.followers[node.name]]
        more_to_do = self.locks is not None or any(node.confirm for node in self.nodes)
        return sinks[0] if len(sinks) == 1 and not more_to_do else None

    @cached_property
    def _place(self) -> dict[str, int]:
        return {node.name: number for number, node in enumerate(self.nodes)}

    def patience_s(self, step: str, kind: str) -> float:
        """How long an operation may fail before it is given up, where attempts do not bound it.

        An action: as long as its job may take (`sla`). What comes when there is no other way has
        twice as long: an undo outlasts its action, and so do what is past the point of no return
        and a confirmation.
        """
        node = self.by_name[step]
        said = node.limits_of(kind).for_s
        if said is not None:
            return said
        if kind == Kind.ACTION and not node.past_pivot:
            return self.sla_s
        return 2 * max(self.sla_s, node.limits.for_s or 0.0)

    def rank(self, step: str, kind: str) -> int:
        """The order in which rows of one job are locked: actions in topological order, undos in
        reverse, confirmations.
        """
        index, count = self._place[step], len(self.nodes)
        ranks: dict[str, int] = {
            Kind.ACTION: index,
            Kind.UNDO: count + (count - 1 - index),
            Kind.CONFIRM: 2 * count + index,
        }
        return ranks[kind]

    def apart(self, step: str, kind: str, other: str, other_kind: str) -> bool:
        """Whether `other`, which comes next in a message, does not wait for `step`: two actions of
        a batch.

        A step that this definition does not have may wait for anything.
        """
        return (
            kind == other_kind == Kind.ACTION
            and step in self.followers
            and other in self.by_name
            and other not in self.followers[step]
        )

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = _as_data(self)
        if self.locks is None:
            del data["locks"]  # as it was before sagas had locks: their digests stand
        if self.on_sla == "ask":
            del data["on_sla"]  # the same
        for node in data["nodes"]:
            if not node["brief"]:
                del node["brief"]  # the same
            for limits in (
                node["limits"],
                node["confirm"],
                (node["compensation"] or {}).get("limits"),
            ):
                if limits is not None and limits["stall_timeout_s"] is None:
                    del limits["stall_timeout_s"]  # the same
                if limits is not None:
                    for word in ("gives_up", "counted", "for_s"):
                        if not limits[word]:
                            del limits[word]  # the same
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Graph:
        def limits(d: dict[str, Any] | None) -> Limits | None:
            return _known(Limits, d) if d else None

        def node(d: dict[str, Any]) -> Node:
            comp = d["compensation"]
            own = {
                "after": tuple(d["after"]),
                "limits": limits(d["limits"]),
                "confirm": limits(d["confirm"]),
                "compensation": _known(Compensation, {**comp, "limits": limits(comp["limits"])})
                if comp
                else None,
            }
            return _known(Node, {**d, **own})

        return cls(
            saga=data["saga"],
            version=data["version"],
            sla_s=data["sla_s"],
            nodes=tuple(node(n) for n in data["nodes"]),
            locks=_known(Locks, data["locks"]) if data.get("locks") else None,
            on_sla=data.get("on_sla", "ask"),
        )


def digest_of(graph: Graph, input_schema: dict[str, Any]) -> str:
    """Sixteen hex digits that name this definition for ever (SHA-256 over its canonical JSON).

    Titles and descriptions of the schema do not count: a corrected docstring would strand the jobs
    that are under way.
    """
    text = json.dumps(
        {"graph": graph.to_json(), "input": without_words(input_schema)},
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_data(value: Any) -> Any:
    """As `dataclasses.asdict`, under the stored keys, but without a copy of each text and number,
    which takes far longer.
    """
    if isinstance(value, tuple):
        return tuple([_as_data(one) for one in value])
    names = getattr(value, "__dataclass_fields__", None)
    if names is None:
        return value
    return {STORED_AS.get(name, name): _as_data(getattr(value, name)) for name in names}
