"""An attempt's transaction whose row has changed meanwhile: its own COMMIT had landed, or its lease
was lost.

A result that comes after the lease was lost is rolled back whole, the step's own rows included, and
history says so.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine

from surefoot.app.engine.jobs.attempt import LEASE_LOST, Attempt, TransitionResult
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import OpState
from surefoot.app.store import operation_reads
from surefoot.app.store.session import transaction


class Superseded(Exception):
    """Rolls the transaction back: the lease of this attempt was lost."""


def run_transition(
    db: Engine,
    attempt: Attempt,
    work: Callable[[Connection], TransitionResult],
    *,
    ours: tuple[OpState, ...],
    name: str,
) -> TransitionResult:
    """Run a transaction of an attempt.

    If it finds the row changed, tell whether our own earlier COMMIT did that, or we are late.
    """
    try:
        return transaction(db, work, name=name)
    except Superseded:
        return transaction(db, lambda tx: _late(tx, attempt, ours), name=name)


def _late(tx: Connection, attempt: Attempt, ours: tuple[OpState, ...]) -> TransitionResult:
    job_tx = JobTransaction(tx, attempt.job_id)
    row = operation_reads.operation(tx, attempt.operation_id)
    if row is not None and row.token == attempt.token and row.state in ours:
        return TransitionResult(
            True, row.state
        )  # the COMMIT whose answer was lost had landed; the sweep rings what it released
    if row is not None:
        job_tx.record(
            HistoryEvent.LATE_RESULT_REFUSED,
            None,
            step=row.step,
            kind=row.kind,
            attempt=attempt.number,
            fence=attempt.fence,
            now_fence=row.fence,
        )
        job_tx.close()
    return LEASE_LOST
