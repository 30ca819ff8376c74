"""How an outcome comes on record while the store is away, and what the worker is told of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from surefoot.app.engine.jobs.attempt import Failure, TransitionResult
from surefoot.app.engine.worker.delivery import (
    DeliveryOutcome,
    ExecutionResult,
)
from surefoot.app.engine.worker.failures import without_words
from surefoot.app.errors import StoreUnavailable
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import OpState
from surefoot.app.store.host import Host

log = structlog.get_logger("surefoot.perform")

HOLD_S = 60.0  # how long a worker holds an outcome that the store cannot take just now

T = TypeVar("T")


def recorded(
    host: Host, outcome: Any, record: Callable[[Any], TransitionResult]
) -> TransitionResult:
    """Put an outcome on record.

    What the store refuses for its text is recorded without it, as what it was.
    """
    try:
        return record_with_retry(host, lambda: record(outcome))
    except (SQLAlchemyError, ValueError, OverflowError) as refused:
        instead = without_words(outcome if isinstance(outcome, Failure) else None, refused)
        log_quietly(log.warning, "outcome_refused", error=instead.error)
        return record_with_retry(host, lambda: record(instead))


def log_quietly(write: Callable[..., Any], event: str, **facts: Any) -> None:
    """A line of the log. A log that cannot be written decides nothing."""
    with suppress(Exception):
        write(event, **facts)


def record_with_retry(host: Host, record: Callable[[], T]) -> T:
    """Keep trying to put an outcome on record while the store is away: it is known here and nowhere
    else.
    """
    until, pause = host.monotonic() + HOLD_S, 0.1
    while True:
        try:
            return record()
        except StoreUnavailable:
            if host.monotonic() > until:
                raise
            host.sleep(pause)
            pause = min(2.0, pause * 2)


def result_of(ended: TransitionResult, outcome: Any, bound: Any) -> ExecutionResult:
    if not ended.applied:
        log_quietly(bound.warning, HistoryEvent.LATE_RESULT_REFUSED)
        return ExecutionResult(
            DeliveryOutcome.DROPPED, error="the lease was lost; the late result was refused"
        )
    message = outcome.error.get("message") if isinstance(outcome, Failure) else None
    match ended.state:
        case OpState.COMPLETED | OpState.SKIPPED:
            log_quietly(bound.info, HistoryEvent.COMPLETED)
            return ExecutionResult(DeliveryOutcome.COMPLETED, ended.released, ended.turned)
        case OpState.WAITING | OpState.QUEUED:
            verdict = (
                DeliveryOutcome.RETRY if isinstance(outcome, Failure) else DeliveryOutcome.PARKED
            )
            return ExecutionResult(verdict, ended.released, True, message)
        case _:
            return ExecutionResult(
                DeliveryOutcome.FAILED,
                ended.released,
                True,
                message or "stopped: the job has turned",
            )
