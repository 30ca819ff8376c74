"""Before a job's first step: its semantic locks, all of them or none.

The keys are code, so a worker names them, after its claim and under no lock of the database. Then
one transaction takes them, or puts the job in line and parks the operation; were these two, the
holder could end in between and wake nobody. No code of the job's steps has ever run while it has no
locks: so whatever became of earlier attempts, nothing happened.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app import limits
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.attempt import LEASE_LOST, Attempt, Failure, TransitionResult
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.limits import Blocked
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Kind, OpState
from surefoot.app.rules.waits import WaitReason
from surefoot.app.saga.graph import Graph
from surefoot.app.store import attempt_writes, operation_reads
from surefoot.app.store.column_values import after_or_at
from surefoot.app.store.locks import spelled
from surefoot.app.store.rows.operations import OperationRow
from surefoot.app.store.session import transaction


def locks_first(graph: Graph, step: str, kind: str) -> bool:
    """Whether this operation may have to take its job's locks: an action that no other comes
    before.
    """
    return graph.locks is not None and kind == Kind.ACTION and not graph.by_name[step].after


def take_locks(
    db: Engine, settings: Settings, attempt: Attempt, keys: tuple[str, ...], tenant: str
) -> TransitionResult | Failure | None:
    """Take these keys for the attempt's job, which is this tenant's. None: it has them, the step
    may run.

    Else how it went: parked in line (`TransitionResult`), the lease was lost (`LEASE_LOST`), or a
    Failure to be recorded.
    """
    return transaction(
        db, lambda tx: _take(tx, settings, attempt, keys, tenant), name="gates.take_locks"
    )


def _take(
    tx: Connection, settings: Settings, attempt: Attempt, keys: tuple[str, ...], tenant: str
) -> TransitionResult | Failure | None:
    job_tx = JobTransaction(tx, attempt.job_id)
    row = operation_reads.operation(tx, attempt.operation_id)
    if row is None or row.token != attempt.token:
        return LEASE_LOST
    if row.state == OpState.WAITING:  # the COMMIT whose answer was lost had landed
        return TransitionResult(True, OpState.WAITING)
    if row.state != OpState.RUNNING:
        return LEASE_LOST
    if row.stop_requested:
        return Failure(
            FailureReason.TRANSIENT,
            {"type": "StopRequested", "message": "the job has turned"},
            nothing_happened=True,
        )
    policy = job_tx.graph.locks
    assert policy is not None, "only asked of sagas with locks"
    wanted = [spelled(key, tenant, job_tx.job.tenant_id) for key in keys]
    found = limits.take(
        tx, job_tx.job, wanted, wait_s=policy.wait_s if policy.on_locked == "wait" else None
    )
    if not isinstance(found, Blocked):
        if found.since is not None:
            job_tx.record(HistoryEvent.LOCK_TAKEN, row, keys=list(keys))
            job_tx.close()
        return None
    if found.until is not None and not found.over and not job_tx.job.cancel_requested:
        due_at = after_or_at(settings.lock_recheck_seconds, found.until)
        return _park(job_tx, row, found, due_at)
    attempt_writes.note_progress(
        tx, row.id, attempt.token, {"unknown_outcomes": 1 if row.effectful else 0}
    )  # this attempt's, until it has failed
    return _refused(job_tx, found)


def _park(
    job_tx: JobTransaction, row: OperationRow, found: Blocked, due_at: Any
) -> TransitionResult:
    values: dict[str, Any] = {
        "state": OpState.WAITING,
        "wait_reason": WaitReason.LOCK,
        "due_at": due_at,
        "max_attempts": row.max_attempts + 1,
        "unknown_outcomes": 0,
    }
    attempt_writes.end_running_operation(job_tx.tx, row.id, row.token, values)
    if found.came_now:  # looking again is not worth a line
        job_tx.record(HistoryEvent.LOCK_WAITING, row, key=found.key, held_by=_told(job_tx, found))
    return TransitionResult(True, OpState.WAITING, job_tx.close())


def _refused(job_tx: JobTransaction, found: Blocked) -> Failure:
    known = _told(job_tx, found)
    holder = f"job {known}" if known else "another job"
    if found.until is None:
        error = {"type": "Locked", "message": f"the lock {found.key} is held by {holder}"}
        return Failure(FailureReason.LOCKED, error, nothing_happened=True)
    error = {
        "type": "LockTimeout",
        "message": f"it waited too long for the lock {found.key}, held by {holder}",
    }
    return Failure(
        FailureReason.LOCKED if job_tx.job.cancel_requested else FailureReason.LOCK_TIMEOUT,
        error,
        nothing_happened=True,
    )


def _told(job_tx: JobTransaction, found: Blocked) -> str | None:
    """The job in the way, if it is the same tenant's: others' jobs are nobody's business."""
    return found.job_id if found.tenant_id == job_tx.job.tenant_id else None
