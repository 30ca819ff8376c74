"""Lines of history as counters: what is written there has happened, so it is counted there."""

from __future__ import annotations

from typing import Any

from surefoot.app import metrics
from surefoot.app.metrics.counters import (
    ATTEMPTS,
    ESCALATIONS,
    FENCES_REFUSED,
    JOB_SECONDS,
    JOBS_ENDED,
    STEP_SECONDS,
)
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import rule_of
from surefoot.app.store.rows.operations import StepRow


def note_completed(saga: str, step: str, kind: str, took_s: float) -> None:
    """Count and time a completion if its transaction commits."""
    labels = {
        "saga": saga,
        "step": step,
        "kind": kind,
        "outcome": str(HistoryEvent.COMPLETED.rule.outcome),
    }
    metrics.record(ATTEMPTS, **labels)
    metrics.record_seconds(STEP_SECONDS, took_s, **labels)


def note_job_seconds(saga: str, end: str, took_s: float) -> None:
    """Time a job that has ended, from its acceptance, if the transaction that ended it commits."""
    metrics.record_seconds(JOB_SECONDS, took_s, saga=saga, end=end)


def note_event(
    saga: str,
    event: HistoryEvent,
    operation: StepRow | None,
    detail: dict[str, Any],
    took_s: float | None = None,
) -> None:
    """Count this line if its transaction commits.

    `took_s`: of the attempt that it ends, where its own worker ends it.
    """
    rule = event.rule
    if rule.ends is not None:
        metrics.record(JOBS_ENDED, saga=saga, end=rule.ends)
    elif rule.outcome is not None and operation is not None:
        given_up = event == HistoryEvent.FAILED
        outcome = rule_of(str(detail.get("why"))).outcome if given_up else rule.outcome
        labels = {"saga": saga, "step": operation.step, "kind": operation.kind, "outcome": outcome}
        metrics.record(ATTEMPTS, **labels)
        if took_s is not None:
            metrics.record_seconds(STEP_SECONDS, took_s, **labels)
    elif event == HistoryEvent.LATE_RESULT_REFUSED:
        metrics.record(
            FENCES_REFUSED, saga=saga, step=str(detail.get("step")), kind=str(detail.get("kind"))
        )
    elif event == HistoryEvent.ATTENTION and operation is not None:
        metrics.record(
            ESCALATIONS,
            saga=saga,
            step=operation.step,
            kind=operation.kind,
            why=str(detail.get("why")),
        )
