"""The states of jobs and operations: what each means, who moves in, who moves out."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """`pending` and `waiting` are only shown: they are derived when a job is read, and no guard ever tests them."""

    PENDING = "pending"  # shown while no operation was ever claimed; stored as running
    RUNNING = "running"  # submit -> ; finish, turn, attention ->
    WAITING = "waiting"  # shown while nothing is queued or running and all that waits is parked; stored as running
    COMPENSATING = "compensating"  # turn -> ; finish, attention ->
    ATTENTION = (
        "attention"  # fail, at or past the pivot or of an undo -> ; redrive, mark-done, waive ->
    )
    COMPLETED = "completed"  # finish, forward ->. Final
    FAILED = "failed"  # finish, back ->. Final
    CANCELLED = "cancelled"  # finish, back, cause cancel ->. Final


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
    PENDING = "pending"  # submit, turn -> ; release, dispatch, turn ->
    QUEUED = "queued"  # dispatch, wake, expire, hand-back -> ; claim, turn ->
    RUNNING = "running"  # claim -> ; complete, fail, park, expire ->
    WAITING = "waiting"  # park, transient failure -> ; wake, resolve, turn ->
    COMPLETED = "completed"  # complete, mark-done ->. Done
    SKIPPED = "skipped"  # complete, settle, waive ->. Done, with nothing to do
    FAILED = "failed"  # fail -> ; redrive, mark-done, waive ->
    DROPPED = "dropped"  # turn, of what never started ->. At rest
    ABANDONED = (
        "abandoned"  # turn, of what has started and then stopped ->. At rest; its undo settles it
    )


class Kind(StrEnum):
    ACTION = "action"
    UNDO = "undo"
    CONFIRM = "confirm"


LIVE = (OpState.PENDING, OpState.QUEUED, OpState.RUNNING, OpState.WAITING)
DONE = (OpState.COMPLETED, OpState.SKIPPED)
ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
