"""A saga as a picture: steps in layers by longest path, and below them how each is undone, in a
lane of its own.

Plain numbers for a template to draw as SVG: testable, printable, no script. A long chain is as wide
as it is and scrolls; the members of a wide fork come as one box (`grouping`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.app.rules.states import OpState
from surefoot.app.saga.graph import Graph

WIDTH, HEIGHT = 168, 52  # of a box
COLUMN, ROW = 208, 76  # from box to box
MARGIN, GAP = 14, 44  # around all; above the lane of undos
NAME_CHARACTERS = 20
BAR_MARGIN = 14


@dataclass(frozen=True)
class Part:
    """Of the bar of a group: so many members in this state, from `x` on."""

    state: str
    count: int
    x: int
    width: int


@dataclass(frozen=True)
class Box:
    """`state` is the class it is coloured by; `name` may be cut, `full` is not.

    `bar`: of a fork drawn as one, how its members stand; `gone`: done, and undone since.
    """

    x: int
    y: int
    name: str
    full: str
    state: str
    note: str
    undo: bool
    pivot: bool
    bar: tuple[Part, ...] = ()
    gone: bool = False

    @property
    def going(self) -> bool:
        """Whether something is happening in it now."""
        return self.state in (OpState.RUNNING, OpState.QUEUED, OpState.WAITING)


@dataclass(frozen=True)
class Line:
    path: str
    state: str
    undo: bool


@dataclass(frozen=True)
class Drawing:
    """`lane_y`: where the lane of undos begins; None when no step has an undo."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    lane_y: int | None


def draw(graph: Graph, steps: Sequence[Mapping[str, Any]]) -> Drawing:
    """The drawing of a graph; `steps` as a job's view has them, or as `grouping.folded` does."""
    of_step = {step["name"]: step for step in steps}
    layers = _layers(graph)
    rows = max((len(layer) for layer in layers), default=1)
    lane = MARGIN + rows * ROW - (ROW - HEIGHT) + GAP
    boxes: dict[tuple[str, bool], Box] = {}
    undo_rows = 0
    for column, layer in enumerate(layers):
        undone = [name for name in layer if graph.by_name[name].compensation]
        undo_rows = max(undo_rows, len(undone))
        for row, name in enumerate(layer):
            x, y = MARGIN + column * COLUMN, MARGIN + (rows - len(layer)) * ROW // 2 + row * ROW
            boxes[name, False] = _action(graph, of_step[name], x, y)
        for row, name in enumerate(undone):
            boxes[name, True] = _undo(
                graph, of_step[name], MARGIN + column * COLUMN, lane + row * ROW
            )
    height = (lane + undo_rows * ROW - (ROW - HEIGHT) if undo_rows else lane - GAP) + MARGIN
    width = 2 * MARGIN + len(layers) * COLUMN - (COLUMN - WIDTH)
    return Drawing(
        width,
        height,
        tuple(boxes.values()),
        tuple(_lines(graph, boxes)),
        lane if undo_rows else None,
    )


def _layers(graph: Graph) -> list[list[str]]:
    """Steps by the length of the longest way to them, in declaration order."""
    depth: dict[str, int] = {}
    for node in graph.nodes:
        depth[node.name] = max((depth[name] + 1 for name in node.after), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, level in depth.items():
        layers[level].append(name)
    return layers


def _action(graph: Graph, step: Mapping[str, Any], x: int, y: int) -> Box:
    counted = step.get("members")
    tries = f" · attempt {step['attempts']}" if step["attempts"] > 1 and not counted else ""
    undone = (step["compensation"] or {}).get("state") == OpState.COMPLETED
    gone = step["state"] == OpState.COMPLETED and undone
    return Box(
        x,
        y,
        _cut(step["name"]),
        step["name"],
        step["state"],
        tries,
        undo=False,
        pivot=graph.by_name[step["name"]].pivot,
        bar=_bar(counted),
        gone=gone,
    )


def _undo(graph: Graph, step: Mapping[str, Any], x: int, y: int) -> Box:
    undo = graph.by_name[step["name"]].compensation
    name = undo.name if undo else step["name"]
    told = step["compensation"]
    fidelity = f" · {undo.fidelity}" if undo else ""
    bar = _bar(told.get("members"))
    return Box(x, y, _cut(name), name, told["state"], fidelity, undo=True, pivot=False, bar=bar)


def _bar(counted: Mapping[str, int] | None) -> tuple[Part, ...]:
    """How the members stand: most first, at least two units wide each."""
    if not counted:
        return ()
    total, room, parts, x = sum(counted.values()), WIDTH - 2 * BAR_MARGIN, [], BAR_MARGIN
    for state, count in sorted(counted.items(), key=lambda one: (-one[1], one[0])):
        width = max(2, min(room * count // total, WIDTH - BAR_MARGIN - x))
        parts.append(Part(state, count, x, width))
        x += width
    return tuple(parts)


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"


def _lines(graph: Graph, boxes: Mapping[tuple[str, bool], Box]) -> list[Line]:
    lines = [
        Line(
            _curve(boxes[before, False], boxes[node.name, False]),
            "gone" if boxes[before, False].gone else boxes[before, False].state,
            undo=False,
        )
        for node in graph.nodes
        for before in node.after
    ]
    undoable = [node.name for node in graph.nodes if (node.name, True) in boxes]
    for name in undoable:
        later = [other for other in undoable if other in graph.reachable[name]]
        nearest = [
            other
            for other in later
            if not any(other in graph.reachable[between] for between in later)
        ]
        lines += [
            Line(
                _curve(boxes[name, True], boxes[other, True], back=True),
                boxes[other, True].state,
                undo=True,
            )
            for other in nearest
        ]
    return lines


def _curve(left: Box, right: Box, *, back: bool = False) -> str:
    """From one box to the next; backwards it is drawn from the right one, so that its arrow points
    to the left.
    """
    x1, y1, x2, y2 = left.x + WIDTH, left.y + HEIGHT // 2, right.x, right.y + HEIGHT // 2
    middle = (x1 + x2) // 2
    if back:
        return f"M{x2} {y2} C{middle} {y2} {middle} {y1} {x1 + 8} {y1}"
    return f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2 - 8} {y2}"
