"""What a customer is told in place of workers, lanes and commands, which an operator needs."""

from __future__ import annotations

from typing import Any

WORKERS = ("worker", "version")  # kinds of waiting that only an operator can do something about
BY_ITSELF = "and goes on by itself: nothing is lost, and you need not do anything."
WAITS = f"Accepted. It waits for its turn {BY_ITSELF}"
GOES_ON = f"It waits for its next step's turn {BY_ITSELF}"


def for_customers(told: dict[str, Any]) -> dict[str, Any]:
    """`why` for a page of somebody who runs no workers."""
    kinds = {wait["kind"] for wait in told["waiting_for"]}
    if not kinds or not kinds <= set(WORKERS) or told["state"] not in ("pending", "running"):
        return told
    sentence = WAITS if told["state"] == "pending" else GOES_ON
    return {**told, "sentence": sentence, "next": {"what": None, "at": None}}
