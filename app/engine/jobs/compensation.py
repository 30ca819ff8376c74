"""The turn: from here on the job goes back. It happens once, and a claim of the pivot forbids it.

The hazard is a worker that starts something forward after the turn has decided what is to be
undone. So the turn writes every row that a claim could take: what waits is dropped or abandoned,
what runs is asked to stop, and its undo waits for it. Claims look at operation rows only; the first
writer of the row has decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from surefoot.app.clock import after
from surefoot.app.engine.jobs.release import finish
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import UndoOrder
from surefoot.app.rules.states import Cause, Dir, JobState, Kind, OpState
from surefoot.app.store import operation_reads, operation_writes
from surefoot.app.store.new_rows import new_operation
from surefoot.app.store.rows.operations import OperationRow


def past_point_of_no_return(job_tx: JobTransaction) -> OperationRow | None:
    """The operation that forbids a turn: a pivot or irreversible step that runs, is done, or may
    have happened; any confirmation.

    Locks those rows, because a claim of one may be under way. A confirmation forbids it in whatever
    state: it is retried until it is done, and what is confirmed must not be undone.
    """
    for row in operation_reads.lock_no_return(job_tx.tx, job_tx.job.id):
        if (
            row.kind == Kind.CONFIRM
            or row.state in (OpState.RUNNING, OpState.COMPLETED)
            or row.unknown_outcomes > 0
        ):
            return row
    return None


@dataclass(frozen=True)
class Ground:
    """Why a job turns. `error`: what failed; `actor`: the person or program that asked for it."""

    cause: Cause
    reason: str
    error: dict[str, Any] | None = None
    actor: str | None = None


def start_compensation(job_tx: JobTransaction, ground: Ground, *, undo_s: float) -> bool:
    """Turn the job, in its transaction; its undoing should take at most `undo_s` seconds.

    False: it has turned or ended already, or is past the point of no return.
    A cancel that was asked for too early to be obeyed is the cause, whatever opens the way back.
    """
    cause = Cause.CANCEL if job_tx.job.cancel_requested else ground.cause
    if (
        job_tx.direction != Dir.FORWARD
        or job_tx.state != JobState.RUNNING
        or past_point_of_no_return(job_tx) is not None
    ):
        return False
    job_tx.change(
        direction=Dir.BACK,
        state=JobState.COMPENSATING,
        cause=cause,
        reason=ground.reason,
        error=ground.error,
        deadline_at=None,
        undo_deadline_at=after(undo_s),
    )
    job_tx.record(
        HistoryEvent.COMPENSATION_STARTED, actor=ground.actor, cause=cause, reason=ground.reason
    )
    operation_writes.drop_waiting_actions(job_tx.tx, job_tx.job.id)
    operation_writes.stop_running_actions(job_tx.tx, job_tx.job.id)
    job_tx.leave_line()
    actions = operation_reads.operations_of(job_tx.tx, job_tx.job.id, Kind.ACTION)
    to_undo = {
        row.step: row
        for row in actions
        if job_tx.graph.by_name[row.step].compensation is not None
        and (row.state == OpState.COMPLETED or (row.started and row.unknown_outcomes > 0))
    }
    if to_undo:
        order = UndoOrder(
            to_undo.keys(), job_tx.graph.followers, job_tx.graph.leaders, job_tx.graph.reachable
        )
        rows = [
            new_operation(
                job_tx.graph,
                (job_tx.job.id, job_tx.job.tenant_id),
                step,
                Kind.UNDO,
                # not only direct successors: a step without an undo in between must not break the
                # order
                pending_dependencies=len(order.leaders[step]) + (row.state == OpState.RUNNING),
            )
            for step, row in to_undo.items()
        ]
        job_tx.ready(operation_writes.insert_operations(job_tx.tx, rows))
    finish(job_tx)
    return True
