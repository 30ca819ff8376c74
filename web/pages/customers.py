"""What a customer is told in place of workers, lanes and commands, which an operator needs."""

from __future__ import annotations

from typing import Any

from surefoot.app.rules.states import JobState
from surefoot.app.rules.waits import WaitingFor

# Kinds of waiting that only an operator can do something about.
WORKERS = {WaitingFor.WORKER, WaitingFor.VERSION}
BY_ITSELF = "and goes on by itself: nothing is lost, and you need not do anything."
WAITS = f"Accepted. It waits for its turn {BY_ITSELF}"
GOES_ON = f"It waits for its next step's turn {BY_ITSELF}"


def for_customers(told: dict[str, Any]) -> dict[str, Any]:
    """`why` for a page of somebody who runs no workers."""
    kinds = {wait["kind"] for wait in told["waiting_for"]}
    moving = told["state"] in (JobState.PENDING, JobState.RUNNING)
    if not kinds or not kinds <= WORKERS or not moving:
        return told
    sentence = WAITS if told["state"] == JobState.PENDING else GOES_ON
    return {**told, "sentence": sentence, "next": {"what": None, "at": None}}
