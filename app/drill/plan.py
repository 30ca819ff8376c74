"""What a drill goes through: every fault on every operation of a saga, as rows.

Pure: a graph in, rows out.

The same graph gives the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from surefoot.app.drill.row import (
    COPIES,
    EACH_LINE,
    MESSAGES,
    ORDER,
    Disturbance,
    FaultInjection,
    Group,
    Row,
)
from surefoot.app.faults import Point, What
from surefoot.app.rules.states import Kind
from surefoot.app.saga.graph import Graph, Node
from surefoot.app.saga.naming import task_name


def rows_of(
    graph: Graph, *, examples: int = 1, example: int = 0, outages: Sequence[str] = ()
) -> list[Row]:
    """Every row of a saga, group by group.

    Args: `examples`: how many there are, each gets a row without a fault; `example`: the one all
    faults are tried on;
    `outages`: services that the test environment can take away.
    """
    rows = [
        Row(f"example-{number}", Group.PLAIN, "none", example=number) for number in range(examples)
    ]
    for node in graph.nodes:
        for kind in _kinds(node):
            rows += _operation_rows(graph, node, kind)
    for lane in dict.fromkeys(node.lane_of(kind) for node in graph.nodes for kind in _kinds(node)):
        rows += _lane_rows(graph, lane)
    rows += _two_jobs(graph)
    for service in outages:
        rows += _outage_rows(graph, service)
    ordered = sorted(
        rows, key=lambda row: ORDER.index(row.group)
    )  # stable: within a group by operation
    return [row if row.group == Group.PLAIN else replace(row, example=example) for row in ordered]


# --- rows of one operation ------------------------------------------------------------------------
CRASHES = tuple(Point)
ERRORS = (
    Point.BEFORE_CLAIM,
    Point.AFTER_CLAIM,
    Point.BEFORE_EFFECT,
    Point.AFTER_EFFECT,
    Point.AFTER_COMMIT,
    Point.AFTER_PUBLISH,
)
AROUND = (Point.BEFORE_EFFECT, Point.AFTER_EFFECT)
WINDOWS = (Point.AFTER_CLAIM, Point.AFTER_EFFECT, Point.AFTER_COMMIT)
UNTOLD = (
    What.CRASH,
    What.ERROR,
    What.HANG,
    Disturbance.KILL_ALL,
    Disturbance.FREEZE,
)  # an attempt that ends so has an unknown outcome


def _operation_rows(graph: Graph, node: Node, kind: str) -> Iterator[Row]:
    name = node.name if kind == Kind.ACTION else f"{node.name}.{kind}"
    target = task_name(graph.saga, node.name, kind)
    first = _so_that_it_is_undone(graph, node) if kind == Kind.UNDO else ()
    attempts, counted_by_saga = node.limits_of(kind).attempts, node.limits_of(kind).counted
    failing = Group.UNDO if kind == Kind.UNDO else Group.STEP

    def row(group: Group, what: What | Disturbance, point: Point, times: int = 1) -> Row:
        strike = FaultInjection(target, what, point, times)
        trick = what if isinstance(what, Disturbance) else None
        head = f"{name}:{what}@{point}" + (f"*{times}" if times > 1 else "")
        counted = what in UNTOLD and point in (Point.AFTER_CLAIM, *AROUND)
        out = (
            counted and times >= attempts and (counted_by_saga or what != What.ERROR)
        )  # else time bounds what fails
        return Row(
            head, group, _words(what, times, out), name, point, strike, trick, first, exhausts=out
        )

    yield row(failing, What.REJECT, Point.BEFORE_EFFECT)
    yield row(failing, What.FAIL, Point.AFTER_EFFECT)
    for point in ERRORS:
        yield row(failing, What.ERROR, point)
    for point in AROUND:
        yield row(failing, What.HANG, point)
    yield row(failing, What.DELAY, Point.BEFORE_EFFECT)
    if attempts > 1:
        for point in AROUND:
            yield row(failing, What.ERROR, point, attempts)
        yield row(failing, What.CRASH, Point.BEFORE_EFFECT, attempts)
        if not counted_by_saga:
            yield row(failing, What.CRASH, Point.AFTER_EFFECT, attempts)
    for trick in MESSAGES:
        group = (
            Group.DUPLICATE if trick in (Disturbance.DUPLICATE, Disturbance.LATE) else Group.LOST
        )
        yield Row(f"{name}:{trick}", group, MESSAGE_WORDS[trick], name, "", None, trick, first)
    for point in CRASHES:
        yield row(Group.CRASH, What.CRASH, point)
    for point in WINDOWS:
        yield row(Group.CRASH, Disturbance.KILL_ALL, point)
    yield row(Group.LOST, Disturbance.FLUSH, Point.AFTER_CLAIM)
    for point in AROUND:
        yield row(Group.ZOMBIE, Disturbance.FREEZE, point)
    if kind == Kind.ACTION and node.compensation is not None and not node.irrevocable:
        slept = row(Group.ZOMBIE, Disturbance.FREEZE, Point.BEFORE_EFFECT)
        refused = FaultInjection(target, What.REJECT, Point.BEFORE_EFFECT)
        yield replace(
            slept,
            name=f"{slept.name}+undone",
            fault="worker frozen until all is undone, then it goes on",
            then=(refused,),
        )
    if kind == Kind.ACTION:
        for point in (Point.BEFORE_CLAIM, *AROUND, Point.AFTER_COMMIT):
            yield row(Group.CANCEL, Disturbance.CANCEL, point)
    undoes = (
        kind == Kind.ACTION
        and node.compensation is not None
        and not node.irrevocable
        and attempts > 1
    )
    yield from _inside(row(Group.INSIDE, What.CRASH, Point.BEFORE_EFFECT), undoes)
    yield from _inside(row(Group.INSIDE, Disturbance.FREEZE, Point.BEFORE_EFFECT), undoes)
    if kind == Kind.ACTION:
        yield from _inside(row(Group.TWO, Disturbance.OTHER, Point.BEFORE_EFFECT), undoes=False)


def _inside(row: Row, undoes: bool) -> Iterator[Row]:
    """A strike that finds the worker between two lines of the developer's function.

    `undoes`: and then the job turns, too.

    What must come of it is what must come of the same strike before the effect: nobody knows what
    has happened.
    """
    assert row.strike is not None
    name, point = f"{row.operation}:{row.strike.what}@{EACH_LINE}", EACH_LINE.replace("_", " ")
    struck = replace(row, name=name, point=point, line=EACH_LINE)
    yield struck
    if undoes:
        refused = FaultInjection(row.strike.target, What.REJECT, Point.BEFORE_EFFECT)
        yield replace(
            struck, name=f"{name}+undone", fault=UNDONE_WORDS[row.strike.what], then=(refused,)
        )


def _two_jobs(graph: Graph) -> Iterator[Row]:
    """Twice the same input at the same time; and once more, where one of the two is undone
    meanwhile.
    """
    yield Row("two-jobs", Group.TWO, "another job at the same time", trick=Disturbance.TWO)
    undoable = [node for node in graph.nodes if node.compensation is not None]
    if undoable:
        first = _so_that_it_is_undone(graph, undoable[-1])
        yield Row(
            "two-jobs@undo",
            Group.TWO,
            "another job at the same time; one is undone",
            point="undo",
            trick=Disturbance.TWO,
            first=first,
        )


def _so_that_it_is_undone(graph: Graph, node: Node) -> tuple[FaultInjection, ...]:
    """What makes the job turn when `node` is done: the last step that may still refuse says no;
    where none comes after it, the step itself happens and costs its worker until it is out of
    attempts.
    """
    after = [n for n in graph.nodes if n.name in graph.reachable[node.name] and not n.past_pivot]
    if after:
        return (
            FaultInjection(
                task_name(graph.saga, after[-1].name, Kind.ACTION), What.REJECT, Point.BEFORE_EFFECT
            ),
        )
    return (
        FaultInjection(
            task_name(graph.saga, node.name, Kind.ACTION),
            What.CRASH,
            Point.AFTER_EFFECT,
            node.limits.attempts,
        ),
    )


def _kinds(node: Node) -> Iterator[str]:
    yield Kind.ACTION
    if node.compensation is not None:
        yield Kind.UNDO
    if node.confirm is not None:
        yield Kind.CONFIRM


def _lane_rows(graph: Graph, lane: str) -> Iterator[Row]:
    """Nobody there from the beginning; killed for good in the middle of the lane's first step;
    nobody there for the undo.
    """
    forward = [node for node in graph.nodes if node.lane == lane]
    back = [
        node
        for node in graph.nodes
        if node.compensation is not None and node.lane_of(Kind.UNDO) == lane
    ]
    if forward:
        node = forward[0]
        yield Row(
            f"{lane}:gone",
            Group.LANE,
            f"no worker for lane {lane}",
            node.name,
            trick=Disturbance.GONE,
            lane=lane,
        )
        if node.compensation is not None or node.irrevocable:
            strike = FaultInjection(
                task_name(graph.saga, node.name, Kind.ACTION), What.CRASH, Point.AFTER_EFFECT
            )
            words = f"only worker of lane {lane} killed for good"
            yield Row(
                f"{lane}:gone@after_effect",
                Group.LANE,
                words,
                node.name,
                strike.point,
                strike,
                Disturbance.GONE,
                lane=lane,
            )
    if back:
        node, words = (
            back[-1],
            f"no worker for lane {lane} when it is undone, one comes when that is told",
        )
        first = _so_that_it_is_undone(graph, node)
        yield Row(
            f"{lane}:gone@undo",
            Group.LANE,
            words,
            f"{node.name}.undo",
            "undo",
            trick=Disturbance.GONE,
            first=first,
            lane=lane,
        )


def _outage_rows(graph: Graph, service: str) -> Iterator[Row]:
    yield Row(
        f"{service}:outage",
        Group.OUTAGE,
        f"{service} away for good",
        trick=Disturbance.OUTAGE,
        service=service,
    )
    undoable = [node for node in graph.nodes if node.compensation is not None]
    if undoable:
        first = _so_that_it_is_undone(graph, undoable[-1])
        words = f"{service} away before the undo, back when a person is asked"
        yield Row(
            f"{service}:outage@undo",
            Group.OUTAGE,
            words,
            trick=Disturbance.OUTAGE,
            first=first,
            service=service,
            point="undo",
        )


# --- words ----------------------------------------------------------------------------------------
MESSAGE_WORDS = {
    Disturbance.DUPLICATE: f"delivered {COPIES} times",
    Disturbance.LATE: "delivered again after the end",
    Disturbance.LOST: "message lost",
    Disturbance.EARLY: "message before its turn, the right one late",
}
WORDS: dict[What | Disturbance, str] = {
    What.CRASH: "worker killed",
    What.ERROR: "error",
    What.REJECT: "refused",
    What.FAIL: "failed for good after its effect",
    What.HANG: "hangs for ever",
    What.DELAY: "slow",
    Disturbance.FLUSH: "broker loses everything",
    Disturbance.FREEZE: "worker frozen past its lease, thawed at the end",
    Disturbance.KILL_ALL: "web, relay and worker killed together",
    Disturbance.CANCEL: "cancelled",
    Disturbance.OTHER: "another job comes and ends meanwhile",
}
UNDONE_WORDS: dict[What | Disturbance, str] = {
    What.CRASH: "worker killed, then the step is refused and all is undone",
    Disturbance.FREEZE: "worker frozen until all is undone, then it goes on",
}


def _words(what: What | Disturbance, times: int, out: bool) -> str:
    if out:
        return f"{WORDS[what]}, {times} times: out of attempts"
    return f"{WORDS[what]}, {times} times" if times > 1 else WORDS[what]
