from __future__ import annotations

from surefoot.app.delivery.queues import UndoFirst


def test_given_lanes_when_asked_then_undo_queues_come_first() -> None:
    cycle = UndoFirst(["a", "a.undo", "b", "b.undo"])
    assert cycle.consume(4) == ["a.undo", "b.undo", "a", "b"]


def test_given_busy_first_lane_when_rotated_then_the_other_lane_is_next_and_undo_stays_first() -> (
    None
):
    cycle = UndoFirst([])
    cycle.update(["a", "b", "a.undo", "b.undo"])
    cycle.rotate("a")
    assert cycle.consume(4) == ["a.undo", "b.undo", "b", "a"]
    cycle.rotate("a.undo")
    assert cycle.consume(4) == ["b.undo", "a.undo", "b", "a"]
