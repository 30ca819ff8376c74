"""Why an attempt ended without a result, and why an operation was given up: one row each.

A new reason is one member here, the place that fails with it, and its test: history, dead letters,
metrics, pages and `why` ask the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from surefoot.app.rules.events import HistoryEvent


@dataclass(frozen=True)
class ReasonRule:
    """What follows from a failure reason.

    `gave_up`: how people say that the operation ended, after its name; "" where no letter has this
    word.
    `letter`: the word of the dead letter, where it is another reason's; None: its own.
    `outcome`: label of the attempts counter when the operation is given up for it.
    `again`: the history event when the operation is tried again after it.
    `attempt_gone`: the attempt's own process is gone or killed, so its token is spent; it is tried
    again at once.
    `asks`: its letter asks whether the effect happened: only somebody who looks can tell.
    `answers_itself`: no letter is opened where the job turns; its history says enough.
    `for_good`: its own answer stands, also for a step that is done at most once.
    `lateness`: says how late the job is; the operation goes on by itself, so it can only be tried
    again.
    """

    gave_up: str = ""
    letter: str | None = None
    outcome: str = "failed"
    again: HistoryEvent = HistoryEvent.ATTEMPT_FAILED
    attempt_gone: bool = False
    asks: bool = False
    answers_itself: bool = False
    for_good: bool = False
    lateness: bool = False


PLAIN = ReasonRule()


class FailureReason(StrEnum):
    """Why.

    What an attempt ends with and what a dead letter says are the same words where they mean the
    same.
    """

    _value_: str
    rule: ReasonRule

    def __new__(cls, value: str, rule: ReasonRule = PLAIN) -> FailureReason:
        member = str.__new__(cls, value)
        member._value_, member.rule = value, rule
        return member

    TRANSIENT = (  # tried again while attempts are left
        "transient",
        ReasonRule(letter="exhausted"),
    )
    LOST = (  # worker or lease gone: tried again at once
        "lost",
        ReasonRule(letter="exhausted", again=HistoryEvent.ATTEMPT_LOST, attempt_gone=True),
    )
    UNREADABLE = (  # this code cannot read what the step is done with: it waits for code that can
        "unreadable",
        ReasonRule(letter="queue_timeout", outcome="queue_timeout"),
    )
    EXHAUSTED = "exhausted", ReasonRule("gave up")
    REJECTED = (  # the participant said no
        "rejected",
        ReasonRule("was refused", outcome="rejected", answers_itself=True),
    )
    UNKNOWN_OUTCOME = (  # must not be tried again
        "unknown_outcome",
        ReasonRule(
            "ended with an unknown outcome, and must not be retried blindly",
            asks=True,
        ),
    )
    FAILED = (  # for good, after an effect
        "failed",
        ReasonRule(
            "failed for good after it may have taken effect", answers_itself=True, for_good=True
        ),
    )
    QUEUE_TIMEOUT = (  # no worker came
        "queue_timeout",
        ReasonRule("was not claimed by a worker in time", outcome="queue_timeout"),
    )
    LOCKED = (  # another job has the lock, and the saga does not wait
        "locked",
        ReasonRule("found its lock held", outcome="locked", answers_itself=True),
    )
    LOCK_TIMEOUT = (  # waited for it long enough
        "lock_timeout",
        ReasonRule("did not get its lock in time", outcome="locked"),
    )
    STALLED = (  # as lost: it showed no heartbeat
        "stalled",
        ReasonRule(
            "sent no heartbeat for too long, in every attempt",
            outcome="stalled",
            again=HistoryEvent.STALLED,
            attempt_gone=True,
        ),
    )
    LATE_UNDO = "late_undo", ReasonRule("has not been undone in time", lateness=True)
    LATE = (
        "late",
        ReasonRule(
            "has not ended in the time its saga allows, and can no longer be undone",
            lateness=True,
        ),
    )

    @property
    def letter(self) -> FailureReason:
        """The word of the dead letter."""
        return FailureReason(self.rule.letter) if self.rule.letter is not None else self


# Labels of the attempts counter: how an attempt ended, or why an operation was given up.
OUTCOMES = tuple(
    dict.fromkeys(
        [event.rule.outcome for event in HistoryEvent if event.rule.outcome is not None]
        + [reason.rule.outcome for reason in FailureReason]
    )
)
_BY_WORD = {str(reason): reason for reason in FailureReason}
# Words that a letter can have, in the order in which pages offer them.
OF_LETTERS = tuple(str(reason) for reason in FailureReason if reason.rule.gave_up)
LATENESS = tuple(str(reason) for reason in FailureReason if reason.rule.lateness)
ASKING = tuple(str(reason) for reason in FailureReason if reason.rule.asks)


def rule_of(why: str) -> ReasonRule:
    """The row of a word that the store holds; of a later release's word a plain one."""
    return _BY_WORD[why].rule if why in _BY_WORD else PLAIN


def gave_up(why: str) -> str:
    """How an operation ended, after its name; a word of a later release is said as it is."""
    return rule_of(why).gave_up or why.replace("_", " ")
