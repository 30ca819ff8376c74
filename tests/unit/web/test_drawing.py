"""A saga as a picture."""

from __future__ import annotations

from typing import Any

from surefoot.app.saga.graph import Compensation, Graph, Limits, Node
from surefoot.web.pages.drawing import draw

LIMITS = Limits(attempts=5, timeout_s=60, queue_timeout_s=60)


def node(name: str, *after: str, undo: str | None = None, pivot: bool = False) -> Node:
    compensation = Compensation(undo, "lane", "exact", "", LIMITS) if undo else None
    return Node(name, "lane", after, LIMITS, pivot=pivot, compensation=compensation)


def step(name: str, state: str = "pending", undo: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "attempts": 1,
        "compensation": {"state": undo} if undo else None,
    }


def test_given_a_diamond_when_drawn_then_layers_by_longest_path_and_undos_in_their_own_lane() -> (
    None
):
    graph = Graph(
        "s",
        1,
        60.0,
        (
            node("a", undo="ua"),
            node("b", "a", undo="ub"),
            node("c", "a"),
            node("d", "b", "c", "a", pivot=True),
        ),
    )
    steps = [
        step("a", "completed", "completed"),
        step("b", "completed", "running"),
        step("c"),
        step("d"),
    ]
    drawing = draw(graph, steps)
    at = {(box.full, box.undo): box for box in drawing.boxes}
    columns = [at[name, False].x for name in "abcd"]
    assert columns[0] < columns[1] == columns[2] < columns[3]
    assert at["b", False].y != at["c", False].y
    assert drawing.lane_y is not None
    assert all(box.y >= drawing.lane_y for box in drawing.boxes if box.undo)
    assert all(box.y < drawing.lane_y for box in drawing.boxes if not box.undo)
    assert (at["ua", True].x, at["ub", True].state, at["d", False].pivot) == (
        at["a", False].x,
        "running",
        True,
    )
    assert sum(line.undo for line in drawing.lines) == 1
    assert sum(not line.undo for line in drawing.lines) == 5
    assert all(0 <= box.x < drawing.width and 0 <= box.y < drawing.height for box in drawing.boxes)


def test_given_no_undo_when_drawn_then_no_lane() -> None:
    drawing = draw(Graph("s", 1, 60.0, (node("a"),)), [step("a")])
    assert drawing.lane_y is None
    assert len(drawing.boxes) == 1


def test_given_long_name_when_drawn_then_cut_and_kept_in_full() -> None:
    name = "a_step_with_a_very_long_name_indeed"
    box = draw(Graph("s", 1, 60.0, (node(name),)), [step(name)]).boxes[0]
    assert box.full == name
    assert len(box.name) <= 20
