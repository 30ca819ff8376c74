"""The states of jobs, operations and dead letters.

`rules.transitions` says what leads from one to another.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

# Types of what the API answers; a test holds each to be the same as its enum.
KindWord = Literal["action", "undo", "confirm"]
LetterStateWord = Literal["open", "closed"]


class JobState(StrEnum):
    """`pending` and `waiting` are only shown: they are derived when a job is read, never stored."""

    PENDING = "pending"  # shown while no operation was ever claimed; stored as running
    RUNNING = "running"
    WAITING = "waiting"  # shown while all that is live is parked; stored as running
    COMPENSATING = "compensating"
    ATTENTION = "attention"
    COMPLETED = "completed"  # final
    FAILED = "failed"  # final
    CANCELLED = "cancelled"  # final


class Dir(StrEnum):
    """Where the job goes. Changes once, by the turn."""

    FORWARD = "forward"
    BACK = "back"


class Cause(StrEnum):
    """Why the job turned. Set by the turn, never overwritten."""

    FAILED = "failed"
    DEADLINE = "deadline"
    REFUSED = "refused"
    CANCEL = "cancel"
    SLA = "sla"


class OpState(StrEnum):
    """The states of an operation: one action, undo or confirmation of one step."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"  # done
    SKIPPED = "skipped"  # done, with nothing to do
    FAILED = "failed"
    DROPPED = "dropped"  # at rest
    ABANDONED = "abandoned"  # at rest; its undo settles it


class LetterState(StrEnum):
    """The states of a dead letter."""

    OPEN = "open"
    CLOSED = "closed"  # final


class Kind(StrEnum):
    """What an operation does for its step."""

    ACTION = "action"
    UNDO = "undo"
    CONFIRM = "confirm"


KINDS = tuple(str(kind) for kind in Kind)
SHOWN_ONLY = (JobState.PENDING, JobState.WAITING)
LIVE = (OpState.PENDING, OpState.QUEUED, OpState.RUNNING, OpState.WAITING)
DONE = (OpState.COMPLETED, OpState.SKIPPED)
AT_REST = (*DONE, OpState.DROPPED, OpState.ABANDONED)
ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
