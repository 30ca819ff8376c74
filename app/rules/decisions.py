"""What a person can decide about a dead letter, said once: API, pages, command line and `why` read
it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import rule_of
from surefoot.app.rules.states import ENDED, Kind

# The type of what the API answers; a test holds it to be the same as the enum.
LetterActionWord = Literal["redrive", "discard", "mark-done", "waive", "mark-absent"]


class Resolution(StrEnum):
    """How a dead letter was closed (`dead_letters.resolution`)."""

    RETRIED = "retried"
    MARKED_DONE = "marked_done"
    MARKED_ABSENT = "marked_absent"
    WAIVED = "waived"
    DISCARDED = "discarded"
    REDRIVEN = "redriven"  # its job had ended, and was resubmitted as a new one
    OVERTAKEN = "overtaken"  # by what came after: nobody had to decide


@dataclass(frozen=True)
class ActionRule:
    """`act`: its name among the acts on record; `button` and `does`: words of a page; `can`: after
    "an operator can".

    `resolution`, `event`: how it closes a letter that holds its job, and what history says of it.
    """

    resolution: Resolution
    event: HistoryEvent
    act: str
    button: str
    does: str
    can: str


class LetterAction(StrEnum):
    """What can be done about an open dead letter, as the API names it."""

    _value_: str
    rule: ActionRule

    def __new__(cls, value: str, rule: ActionRule) -> LetterAction:
        member = str.__new__(cls, value)
        member._value_, member.rule = value, rule
        return member

    REDRIVE = (
        "redrive",
        ActionRule(
            Resolution.RETRIED,
            HistoryEvent.RETRIED,
            "redrive",
            "Redrive",
            "it gets fresh attempts where it stands.",
            "redrive it",
        ),
    )
    DISCARD = (
        "discard",
        ActionRule(
            Resolution.DISCARDED,
            HistoryEvent.DISCARDED,
            "discard",
            "Discard",
            "nothing more is done about it; it stays on record.",
            "discard it",
        ),
    )
    MARK_DONE = (
        "mark-done",
        ActionRule(
            Resolution.MARKED_DONE,
            HistoryEvent.MARKED_DONE,
            "mark-done",
            "Mark as done",
            "somebody has done it by hand, and the job goes on as if it had gone well.",
            "mark it done",
        ),
    )
    WAIVE = (
        "waive",
        ActionRule(
            Resolution.WAIVED,
            HistoryEvent.WAIVED,
            "waive",
            "Waive",
            "it will not be done, and that is accepted; the job goes on, and says what is left.",
            "waive it",
        ),
    )
    MARK_ABSENT = (
        "mark-absent",
        ActionRule(
            Resolution.MARKED_ABSENT,
            HistoryEvent.MARKED_ABSENT,
            "mark-absent",
            "Mark as not happened",
            "it was found that nothing of it happened: the job is undone.",
            "mark it as not happened",
        ),
    )


ACTIONS = {str(action): action for action in LetterAction}


@dataclass(frozen=True)
class AboutLetter:
    """What an open letter is about, as far as it decides what can be done.

    `past_pivot`: of its step.
    """

    why: str
    kind: str
    past_pivot: bool


def decisions(letter: AboutLetter) -> tuple[LetterAction, ...]:
    """What a person can decide about an open letter that holds its job.

    One about lateness goes on by itself: it can only be tried again. What is past the pivot is not
    marked absent: the job would have to turn, and cannot. Trying again says that it has not
    happened.
    """
    if rule_of(letter.why).lateness:
        return (LetterAction.REDRIVE,)
    may_turn = letter.kind == Kind.ACTION and not letter.past_pivot
    absent = (LetterAction.MARK_ABSENT,) if may_turn else ()
    return (LetterAction.REDRIVE, LetterAction.MARK_DONE, LetterAction.WAIVE, *absent)


def when_ended(job_state: str) -> tuple[LetterAction, ...]:
    """What can be done about an open letter that holds no job: its job lands, or has landed, by
    itself.
    """
    redrive = (LetterAction.REDRIVE,) if job_state in ENDED else ()
    return (*redrive, LetterAction.DISCARD)


def choice(actions: Iterable[LetterAction]) -> str:
    """As `retry it, mark it done, or waive it`."""
    *most, last = [action.rule.can for action in actions]
    return f"{', '.join(most)}, or {last}" if most else last
