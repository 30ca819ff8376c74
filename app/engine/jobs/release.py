"""What an ended operation sets free: release going forward, settle and release going back, and the
job's end.
"""

from __future__ import annotations

from collections.abc import Collection

from surefoot.app.engine.jobs.dead_letters import no_longer_late
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.rules.events import JOB_ENDS, HistoryEvent
from surefoot.app.rules.states import ENDED, Cause, Dir, JobState, Kind, OpState
from surefoot.app.store import job_reads, operation_reads, operation_writes
from surefoot.app.store.ids import operation_id
from surefoot.app.store.new_rows import new_operation
from surefoot.app.store.rows.operations import BriefOperationRow


def on_operation_finished(job_tx: JobTransaction, operation: BriefOperationRow) -> None:
    """The operation has ended well (completed, skipped, waived): release what waited for it, in the
    job's direction.
    """
    if operation.kind == Kind.UNDO:
        release_undos(job_tx, operation.step)
    elif operation.kind == Kind.ACTION and job_tx.direction == Dir.FORWARD:
        release(job_tx, operation.step)
    elif operation.kind == Kind.ACTION:
        resolve_abandoned_action(job_tx, operation)
    finish(job_tx)


def release(job_tx: JobTransaction, step: str) -> None:
    """One dependency less for each direct successor of an action; what waits for nothing now is
    queued.
    """
    _decrement_dependencies(job_tx, job_tx.graph.followers[step], Kind.ACTION)


def resolve_abandoned_action(job_tx: JobTransaction, operation: BriefOperationRow) -> None:
    """After the turn an action in flight has stopped: its undo waits for one thing less, or has
    nothing to do.
    """
    if operation.unknown_outcomes == 0 and operation.state != OpState.COMPLETED:
        skipped = operation_writes.skip_operation(
            job_tx.tx, job_tx.job.id, operation.step, operation.item, Kind.UNDO
        )
        if skipped is not None:
            job_tx.record(HistoryEvent.COMPENSATION_SKIPPED, skipped)
            release_undos(job_tx, operation.step)
        return
    _decrement_dependencies(job_tx, (operation.step,), Kind.UNDO, operation.item)


def release_undos(job_tx: JobTransaction, step: str) -> None:
    """An undo is done: one thing less for the undos that wait directly for it, also across steps
    without an undo.
    """
    _decrement_dependencies(job_tx, job_tx.undo_order().followers[step], Kind.UNDO)


def _decrement_dependencies(
    job_tx: JobTransaction, steps: Collection[str], kind: Kind, item: str = ""
) -> None:
    if not steps:
        return
    rows = operation_writes.lower_missing(
        job_tx.tx, [operation_id(job_tx.job.id, step, item, kind) for step in steps], job_tx.carried
    )
    job_tx.ready(row for row in rows if row.pending_dependencies == 0)
    job_tx.waits = job_tx.waits or bool(rows)


def finish(job_tx: JobTransaction) -> None:
    """End the job when nothing of it can move any more and no person is asked.

    One that has ended stays as it is.
    """
    if (
        job_tx.state in ENDED
        or job_tx.released
        or job_tx.waits
        or job_reads.may_move(job_tx.tx, job_tx.job.id)
    ):
        return
    if job_tx.direction == Dir.FORWARD and _confirm(job_tx):
        return
    no_longer_late(job_tx)
    if job_tx.direction == Dir.FORWARD:
        job_tx.end(JobState.COMPLETED)
        job_tx.record(HistoryEvent.JOB_COMPLETED)
        return
    ended = JobState.CANCELLED if job_tx.cause == Cause.CANCEL else JobState.FAILED
    job_tx.end(ended)
    job_tx.record(JOB_ENDS[ended])


def _confirm(job_tx: JobTransaction) -> bool:
    """Every action has ended: queue the confirmations of those that are done, once.

    From here on there is no turn.

    A step that a person has waived is not confirmed. False: there are none to do.
    """
    names = [node.name for node in job_tx.graph.nodes if node.confirm is not None]
    if not names or operation_reads.states_of(job_tx.tx, job_tx.job.id, Kind.CONFIRM):
        return False
    states = operation_reads.states_of(job_tx.tx, job_tx.job.id, Kind.ACTION)
    done = [name for name in names if states[name] == OpState.COMPLETED]
    if not done:
        return False
    of_job = (job_tx.job.id, job_tx.job.tenant_id)
    rows = [
        new_operation(job_tx.graph, of_job, name, Kind.CONFIRM, pending_dependencies=0)
        for name in done
    ]
    job_tx.ready(operation_writes.insert_operations(job_tx.tx, rows))
    job_tx.record(HistoryEvent.CONFIRMATION_STARTED, steps=done)
    return True
