from __future__ import annotations

import pytest

from surefoot.app.saga.registry import Registry
from surefoot.workers.lanes import lanes_of, queues, served_lanes, visibility_timeout_s
from tests.unit.workers.fork_saga import fork


@pytest.fixture
def known() -> Registry:
    return Registry([fork])


def test_given_registry_when_asked_for_lanes_then_all_that_its_steps_name(known: Registry) -> None:
    assert lanes_of(known) == ("east", "west")


def test_given_lanes_in_the_environment_when_served_then_only_these_once(known: Registry) -> None:
    assert served_lanes(known, {"SUREFOOT_LANES": " west, ,west,fast"}) == ("west", "fast")
    assert served_lanes(known, {}) == ("east", "west")


def test_given_lanes_when_made_queues_then_undo_queues_first() -> None:
    assert [queue.name for queue in queues(["a", "b"])] == [
        f"surefoot.{name}" for name in ("a.undo", "b.undo", "a", "b")
    ]


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [(("fast",), 420.0), (("fast", "orders"), 1500.0), (("slow",), 43500.0), ((), 1500.0)],
)
def test_given_lanes_when_asked_for_the_visibility_timeout_then_twice_the_longest_and_five_minutes(
    lanes: tuple[str, ...], expected: float
) -> None:
    assert visibility_timeout_s(lanes) == expected
