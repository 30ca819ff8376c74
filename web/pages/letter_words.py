"""What a dead letter says on a page: how its operation ended, and what each thing that a person can do about it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefoot.app.explain.endings import ASKS

BUTTONS = {
    "discard": "Dismiss",
    "mark-done": "Mark as done",
    "waive": "Waive",
    "mark-absent": "Mark as not happened",
}
DOES = {
    "discard": "nothing more is done about it; it stays on record.",
    "mark-done": "somebody has done it by hand, and the job goes on as if it had gone well.",
    "waive": "it will not be done, and that is accepted; the job goes on, and says what is left.",
    "mark-absent": "it was found that nothing of it happened: the job is undone.",
}


def given_up(letter: Mapping[str, Any]) -> str:
    """How an operation ended, after its name."""
    why, attempts = str(letter["why"]), letter["attempts"]
    tried = f" after {attempts} attempt{'s' if attempts != 1 else ''}" if why == "exhausted" else ""
    return ASKS.get(why, why.replace("_", " ")) + tried


def on_button(action: str, letter: Mapping[str, Any]) -> str:
    if action == "redrive":
        return "Retry" if letter["needs_person"] else "Run again"
    return BUTTONS[action]


def what_it_does(action: str, letter: Mapping[str, Any]) -> str:
    """Half a sentence, for after the button's words."""
    if action != "redrive":
        return DOES[action]
    if letter["needs_person"] and letter["why"] == "unknown_outcome":
        return "somebody has looked and it has not happened: it is tried again."
    return (
        "it has fresh attempts, where it stands."
        if letter["needs_person"]
        else "as a new job with the same input, which names this one."
    )
