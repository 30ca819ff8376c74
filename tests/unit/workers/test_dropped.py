"""What Flower shows of an operation whose message was dropped, asked of Celery's own reading of events."""

from __future__ import annotations

from typing import Any

import pytest
from celery import states
from celery.events.state import State

from surefoot.workers.tasks import EVENT_OF_DROPPED, REVOKED


def shown(*events: tuple[str, dict[str, Any]] | None) -> str:
    """The state after these events of one task."""
    memory = State()
    for clock, event in enumerate(events):
        if event is not None:
            kind, fields = event
            memory.event(
                {
                    "type": kind,
                    "uuid": "a",
                    "hostname": "w",
                    "timestamp": 1.0 + clock,
                    "local_received": 1.0 + clock,
                    "clock": clock,
                    **fields,
                }
            )
    return str(memory.tasks["a"].state)


RECEIVED: tuple[str, dict[str, Any]] = ("task-received", {"name": "order.a"})
STARTED: tuple[str, dict[str, Any]] = ("task-started", {})
RETRIED: tuple[str, dict[str, Any]] = ("task-retried", {"exception": "later"})
SUCCEEDED: tuple[str, dict[str, Any]] = ("task-succeeded", {"result": "completed", "runtime": 1.0})
FAILED: tuple[str, dict[str, Any]] = ("task-failed", {"exception": "no"})


@pytest.mark.parametrize(
    ("before", "state", "expected"),
    [
        pytest.param((), None, states.REVOKED, id="no such operation"),
        pytest.param((), "dropped", states.REVOKED, id="its job has turned"),
        pytest.param((RETRIED,), "waiting", states.RETRY, id="it waits for its next attempt"),
        pytest.param((), "queued", states.RETRY, id="came too early"),
        pytest.param((STARTED,), "running", states.STARTED, id="runs elsewhere"),
        pytest.param((STARTED, SUCCEEDED), "completed", states.SUCCESS, id="late result"),
        pytest.param((STARTED, FAILED), "failed", states.FAILURE, id="given up"),
    ],
)
def test_given_dropped_message_when_flower_is_told_then_it_shows_how_the_operation_stands(
    before: tuple[Any, ...], state: str | None, expected: str
) -> None:
    told = EVENT_OF_DROPPED.get(state or "", REVOKED)
    assert shown(RECEIVED, *before, RECEIVED, STARTED, told) == expected


def test_given_operation_that_comes_again_when_it_runs_then_flower_shows_that() -> None:
    told = EVENT_OF_DROPPED["waiting"]
    assert shown(RECEIVED, STARTED, told, RECEIVED, STARTED) == states.STARTED
    assert shown(RECEIVED, STARTED, told, RECEIVED, STARTED, SUCCEEDED) == states.SUCCESS


def test_given_rejected_event_when_sent_after_started_then_flower_would_not_show_it() -> None:
    assert shown(RECEIVED, STARTED, ("task-rejected", {"requeue": False})) == states.STARTED
