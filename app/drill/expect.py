"""What must come of a row, by the rules of the engine.

Pure: a graph and a row in, the allowed ends out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from surefoot.app.drill.plan import AROUND, UNTOLD
from surefoot.app.drill.row import Disturbance, FaultInjection, Row
from surefoot.app.faults import Point, What
from surefoot.app.rules.states import JobState, Kind
from surefoot.app.saga.graph import Graph, Node

Ends = frozenset[str]
COMPLETED, FAILED, CANCELLED, ATTENTION = (
    frozenset({str(state)})
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.ATTENTION)
)


@dataclass(frozen=True)
class Expected:
    """`lands`: the states it may land in by itself; `ends`: after a person was asked, and answered.

    `letters`: how many dead letters are open when it lands; None where the saga alone knows.
    """

    lands: Ends
    ends: Ends
    letters: int | None = 0


# an example may end as its developer meant it to, but it has to land, and no person is asked
ANYTHING = Expected(COMPLETED | FAILED | CANCELLED, COMPLETED | FAILED | CANCELLED, None)


def of_example(end: str | None) -> Expected:
    """What an example shall come to, as its saga says."""
    return ANYTHING if end is None else Expected(frozenset({end}), frozenset({end}), None)


def expected(graph: Graph, row: Row, plain: str) -> Expected:
    """What a row shall come to. `plain`: how the same input ends without a fault."""
    before = (
        _of_first(graph, row) if row.first else Expected(frozenset({plain}), frozenset({plain}))
    )
    if row.trick == Disturbance.OUTAGE:
        return _outage(row)
    if row.trick == Disturbance.GONE:
        return _lane_gone(graph, row, before)
    if row.trick in (
        Disturbance.TWO,
        Disturbance.OTHER,
    ):  # there may be enough for one of them only
        return ANYTHING
    if row.strike is None:
        return before
    return _struck(graph.by_name[row.step], row, row.strike, before)


def _of_first(graph: Graph, row: Row) -> Expected:
    """The job was made to turn: it ends failed.

    Where that took an operation all its attempts, a letter tells of it.
    """
    exhausted = sum(strike.what != What.REJECT for strike in row.first)
    return Expected(FAILED, FAILED, exhausted)


def _outage(row: Row) -> Expected:
    """Which operations need the service is not known here; that none is lost on the way is asked
    all the same.
    """
    if row.first:
        return Expected(FAILED | ATTENTION, FAILED, None)
    return Expected(COMPLETED | FAILED | ATTENTION, COMPLETED | FAILED, None)


def _lane_gone(graph: Graph, row: Row, before: Expected) -> Expected:
    """What nobody comes for waits, until it is told and somebody comes; or, where the saga says so,
    it is given up.

    What is given up leaves a letter each; what is needed for the way back, or lies behind the
    pivot, asks.
    """
    patience = [
        not node.limits_of(kind).gives_up
        for node in graph.nodes
        for kind in _on_lane(node, row.lane)
    ]
    if all(patience):
        return before
    if any(patience):
        return Expected(before.lands | FAILED | ATTENTION, before.ends | FAILED, None)
    node = graph.by_name[row.step]
    in_line = _in_line(graph, row.lane)
    if row.first:
        return Expected(ATTENTION, FAILED, (before.letters or 0) + 1 if in_line else None)
    if node.past_pivot or (node.irrevocable and row.strike is not None):
        return Expected(
            ATTENTION,
            COMPLETED if row.strike is None else COMPLETED | FAILED,
            1 if in_line else None,
        )
    if row.strike is not None and node.lane_of(Kind.UNDO) == row.lane:
        return Expected(ATTENTION, FAILED, 2 if in_line else None)
    others = [
        n
        for n in graph.nodes
        if n.compensation is not None and n.name not in (node.name, *graph.reachable[node.name])
    ]
    if any(n.lane_of(Kind.UNDO) == row.lane for n in others):  # done by then, perhaps
        return Expected(FAILED | ATTENTION, FAILED, None)
    return Expected(FAILED, FAILED, 1)


def _on_lane(node: Node, lane: str) -> list[Kind]:
    """What of a step runs on this lane."""
    undo = [Kind.UNDO] if node.compensation is not None and node.lane_of(Kind.UNDO) == lane else []
    return ([Kind.ACTION] if node.lane == lane else []) + undo


def _in_line(graph: Graph, lane: str) -> bool:
    """Whether the steps of a lane, and those undone on it, come one after the other, so that one of
    them at most is waiting.
    """
    names = [node.name for node in graph.nodes if lane in (node.lane, node.lane_of(Kind.UNDO))]
    return all(later in graph.reachable[sooner] for sooner, later in pairwise(names))


def _struck(node: Node, row: Row, strike: FaultInjection, before: Expected) -> Expected:
    asked = Expected(ATTENTION, before.ends, (before.letters or 0) + 1)
    if strike.what == Disturbance.CANCEL:
        return _cancelled(node, strike.point, before)
    if row.then:
        return Expected(FAILED, FAILED)
    if row.kind != Kind.ACTION:
        return asked if row.exhausts or strike.what in (What.REJECT, What.FAIL) else before
    if strike.what == What.REJECT:
        return asked if node.past_pivot else Expected(FAILED, FAILED)
    if strike.what == What.FAIL:
        return asked if node.irrevocable or node.past_pivot else Expected(FAILED, FAILED)
    untold = strike.what in UNTOLD and strike.point in (Point.AFTER_CLAIM, *AROUND)
    if untold and node.irreversible and node.on_unknown == "attention" and not node.probe:
        return Expected(
            ATTENTION, before.ends | COMPLETED | FAILED, 1
        )  # done at most once: a person looks, and says which
    if row.exhausts:
        return asked if node.irrevocable else Expected(FAILED, FAILED, 1)
    return before


def _cancelled(node: Node, point: Point, before: Expected) -> Expected:
    if node.past_pivot or (node.irrevocable and point != Point.BEFORE_CLAIM):
        return before  # too late
    if (
        point == Point.AFTER_COMMIT
    ):  # its completion may have ended the job, or run on to the point of no return
        return Expected(CANCELLED | before.lands, CANCELLED | before.ends)
    return Expected(CANCELLED, CANCELLED)
