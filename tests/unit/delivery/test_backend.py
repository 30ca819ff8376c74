from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import states

from surefoot.app.delivery.backend import StoreBackend
from surefoot.app.delivery.producer import producer_app

BODY = {
    "task": "order.join",
    "args": ["job", ""],
    "kwargs": {},
    "options": {"task_id": "body"},
    "subtask_type": None,
    "immutable": True,
}


class Listening:
    """A publisher that keeps what it was asked to send."""

    def __init__(self) -> None:
        self.app = producer_app("redis://127.0.0.1:1/0")
        self.sent: list[str] = []

    def go_on(self, following: Any, **_: Any) -> bool:
        self.sent.append(following.options["task_id"])
        return True


@pytest.fixture
def publisher() -> Listening:
    return Listening()


def part_returns(
    publisher: Listening, state: str, released: frozenset[str] | None, chord: Any = BODY
) -> list[str]:
    request = SimpleNamespace(id="a", root_id="job", chord=chord, publisher=publisher)
    if released is not None:
        request.joins_released = released
    StoreBackend(app=publisher.app).on_chord_part_return(request, state, None)
    return publisher.sent


def test_given_completion_that_released_the_join_when_a_part_returns_then_the_body_leaves(
    publisher: Listening,
) -> None:
    assert part_returns(publisher, states.SUCCESS, frozenset({"body"})) == ["body"]


@pytest.mark.parametrize(
    ("state", "released"),
    [
        pytest.param(states.SUCCESS, frozenset(), id="others are still missing"),
        pytest.param(states.SUCCESS, frozenset({"another"}), id="something else was released"),
        pytest.param(states.SUCCESS, None, id="not marked"),
        pytest.param(states.FAILURE, frozenset({"body"}), id="failed"),
    ],
)
def test_given_join_that_is_not_released_when_a_part_returns_then_nothing_leaves(
    publisher: Listening, state: str, released: frozenset[str] | None
) -> None:
    assert part_returns(publisher, state, released) == []


def test_given_no_chord_when_a_part_returns_then_nothing_leaves(publisher: Listening) -> None:
    assert part_returns(publisher, states.SUCCESS, frozenset({"body"}), chord=None) == []


def test_given_producer_when_asked_for_a_result_then_none_is_kept(publisher: Listening) -> None:
    backend = publisher.app.backend
    assert isinstance(backend, StoreBackend)
    backend.store_result("a", 1, states.SUCCESS)
    assert backend.get_state("a") == states.PENDING
    with pytest.raises(NotImplementedError):
        backend.wait_for("a")
