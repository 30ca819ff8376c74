"""The events of a job's history: one member a line, with what follows from it.

A stored name is what the store holds. Rows of an earlier release have earlier names: readers of
history ask `named` (a row's event) or `stored` (the names to look for), so an old worker beside new
ones is understood.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from surefoot.app.rules.states import JobState


@dataclass(frozen=True)
class EventRule:
    """`outcome`: label of the attempts counter, where the event ends an attempt or gives an
    operation up.

    `of_attempt`: listed among the attempts of a dead letter; `ends`: the state that the job ends
    in.
    """

    outcome: str | None = None
    of_attempt: bool = False
    ends: JobState | None = None


PLAIN = EventRule()


class HistoryEvent(StrEnum):
    """What a line of history says. The states that each leads to are in `rules.transitions`."""

    _value_: str
    rule: EventRule

    def __new__(cls, value: str, rule: EventRule = PLAIN) -> HistoryEvent:
        member = str.__new__(cls, value)
        member._value_, member.rule = value, rule
        return member

    # the job
    SUBMITTED = "submitted"
    COMPENSATION_STARTED = "compensation_started"
    JOB_COMPLETED = "job_completed", EventRule(ends=JobState.COMPLETED)
    JOB_FAILED = "job_failed", EventRule(ends=JobState.FAILED)
    JOB_CANCELLED = "job_cancelled", EventRule(ends=JobState.CANCELLED)
    CONFIRMATION_STARTED = "confirmation_started"
    CANCEL_REQUESTED = "cancel_requested"  # past the point of no return
    DEADLINE_MISSED = "deadline_missed"  # past the point of no return
    SLA_MISSED = "sla_missed"
    RESUBMITTED = "resubmitted"
    # an attempt of an operation
    COMPLETED = "completed", EventRule(outcome="completed")
    ATTEMPT_FAILED = "attempt_failed", EventRule(outcome="retry", of_attempt=True)
    ATTEMPT_LOST = "attempt_lost", EventRule(outcome="lost", of_attempt=True)
    STALLED = "stalled", EventRule(outcome="stalled", of_attempt=True)
    ATTEMPT_RELEASED = "attempt_released", EventRule(outcome="handed_back", of_attempt=True)
    PARKED = "parked", EventRule(outcome="parked")
    UNREADABLE = "unreadable", EventRule(outcome="parked")
    LOCK_WAITING = "lock_waiting", EventRule(outcome="parked")
    LOCK_TAKEN = "lock_taken"
    ACTION_ABANDONED = "action_abandoned", EventRule(outcome="stopped", of_attempt=True)
    FAILED = "failed", EventRule(outcome="failed", of_attempt=True)
    COMPENSATION_SKIPPED = "compensation_skipped"
    ASSUMED_ABSENT = "assumed_absent"
    LATE_RESULT_REFUSED = "late_result_refused"
    REQUEUED_BY_SWEEP = "requeued_by_sweep"
    # people, dead letters and findings
    ATTENTION = "attention"
    ASSIGNED = "assigned"
    RELEASED = "released"
    RETRIED = "retried"
    MARKED_DONE = "marked_done"
    MARKED_ABSENT = "marked_absent"
    WAIVED = "waived"
    DISCARDED = "discarded"
    LETTER_OVERTAKEN = "letter_overtaken"
    REDRIVE_REFUSED = "redrive_refused"
    RECONCILIATION_FINDING = "reconciliation_finding"
    FINDING_CLOSED = "finding_closed"
    EFFECT_ADOPTED = "effect_adopted"


# Names that earlier releases stored: read as what they are called now, never written.
EARLIER_NAMES: dict[str, HistoryEvent] = {
    "turned": HistoryEvent.COMPENSATION_STARTED,
    "unstranded": HistoryEvent.REQUEUED_BY_SWEEP,
    "nothing_to_undo": HistoryEvent.COMPENSATION_SKIPPED,
    "late_by_sla": HistoryEvent.SLA_MISSED,
    "late": HistoryEvent.DEADLINE_MISSED,
    "cancel_wished": HistoryEvent.CANCEL_REQUESTED,
    "waits_for_lock": HistoryEvent.LOCK_WAITING,
    "run_again": HistoryEvent.RESUBMITTED,
    "recovered": HistoryEvent.ATTEMPT_LOST,
    "handed_back": HistoryEvent.ATTEMPT_RELEASED,
    "stopped": HistoryEvent.ACTION_ABANDONED,
    "confirming": HistoryEvent.CONFIRMATION_STARTED,
    "finding": HistoryEvent.RECONCILIATION_FINDING,
}

JOB_ENDS = {event.rule.ends: event for event in HistoryEvent if event.rule.ends is not None}


def named(stored_name: str) -> str:
    """The event that a row of history names: today's name of an earlier one, else the name itself.

    A name that this release does not know, of a later one, stays what it is.
    """
    return EARLIER_NAMES.get(stored_name, stored_name)


def stored(*events: HistoryEvent) -> tuple[str, ...]:
    """All names under which rows of these events may be stored."""
    earlier = (name for name, event in EARLIER_NAMES.items() if event in events)
    return (*(str(event) for event in events), *earlier)


def of_attempts() -> Iterable[HistoryEvent]:
    """The events that end an attempt without a result."""
    return (event for event in HistoryEvent if event.rule.of_attempt)
