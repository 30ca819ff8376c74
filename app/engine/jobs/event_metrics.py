"""Lines of history as counters: what is written there has happened, so it is counted there."""

from __future__ import annotations

from typing import Any

from surefoot.app import metrics
from surefoot.app.metrics.counters import (
    ATTEMPTS,
    ATTENTION,
    FENCES_REFUSED,
    JOB_SECONDS,
    JOBS_ENDED,
    STEP_SECONDS,
)
from surefoot.app.store.types import AnyRow

ENDS = {"job_completed": "completed", "job_failed": "failed", "job_cancelled": "cancelled"}
OUTCOMES = {
    "completed": "completed",
    "attempt_failed": "retry",
    "recovered": "lost",
    "stalled": "stalled",
    "failed": "failed",
}
OUTCOMES |= {
    "parked": "parked",
    "waits_for_lock": "parked",
    "stopped": "stopped",
    "handed_back": "handed_back",
    "unreadable": "parked",
}
OF_FAILED = {
    "queue_timeout": "nobody_came",
    "rejected": "rejected",
    "locked": "locked",
    "lock_timeout": "locked",
}  # by why it failed
OF_FAILED |= {"stalled": "stalled"}


def note_completed(saga: str, step: str, kind: str, took_s: float) -> None:
    """Count and time a completion if its transaction commits."""
    labels = {"saga": saga, "step": step, "kind": kind, "outcome": "completed"}
    metrics.note(ATTEMPTS, **labels)
    metrics.note_seconds(STEP_SECONDS, took_s, **labels)


def note_job_seconds(saga: str, end: str, took_s: float) -> None:
    """Time a job that has ended, from its acceptance, if the transaction that ended it commits."""
    metrics.note_seconds(JOB_SECONDS, took_s, saga=saga, end=end)


def note_event(
    saga: str,
    event: str,
    operation: AnyRow | None,
    detail: dict[str, Any],
    took_s: float | None = None,
) -> None:
    """Count this line if its transaction commits. `took_s`: of the attempt that it ends, where its own worker ends it."""
    if event in ENDS:
        metrics.note(JOBS_ENDED, saga=saga, end=ENDS[event])
    elif event in OUTCOMES and operation is not None:
        outcome = (
            OF_FAILED.get(str(detail.get("why")), OUTCOMES[event])
            if event == "failed"
            else OUTCOMES[event]
        )
        labels = {"saga": saga, "step": operation.step, "kind": operation.kind, "outcome": outcome}
        metrics.note(ATTEMPTS, **labels)
        if took_s is not None:
            metrics.note_seconds(STEP_SECONDS, took_s, **labels)
    elif event == "late_result_refused":
        metrics.note(
            FENCES_REFUSED, saga=saga, step=str(detail.get("step")), kind=str(detail.get("kind"))
        )
    elif event == "attention" and operation is not None:
        metrics.note(
            ATTENTION,
            saga=saga,
            step=operation.step,
            kind=operation.kind,
            why=str(detail.get("why")),
        )
