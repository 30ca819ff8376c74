"""What a dead letter says on a page: how its operation ended, and what each thing that a person can
do about it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefoot.app.rules.decisions import ACTIONS, LetterAction
from surefoot.app.rules.reasons import FailureReason, gave_up, rule_of


def given_up(letter: Mapping[str, Any]) -> str:
    """How an operation ended, after its name."""
    why, attempts = str(letter["why"]), letter["attempts"]
    tried = (
        f" after {attempts} attempt{'s' if attempts != 1 else ''}"
        if why == FailureReason.EXHAUSTED
        else ""
    )
    return gave_up(why) + tried


def on_button(action: str, letter: Mapping[str, Any]) -> str:
    if action == LetterAction.REDRIVE and not letter["needs_person"]:
        return "Resubmit"
    return ACTIONS[action].rule.button


def what_it_does(action: str, letter: Mapping[str, Any]) -> str:
    """Half a sentence, for after the button's words."""
    does = ACTIONS[action].rule.does
    if action != LetterAction.REDRIVE:
        return does
    if not letter["needs_person"]:
        return "as a new job with the same input, which names this one."
    if rule_of(str(letter["why"])).asks:
        return "it was checked and has not happened: it gets fresh attempts."
    return does
