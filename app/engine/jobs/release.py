"""What an ended operation sets free: release going forward, settle and release going back, and the
job's end.
"""

from __future__ import annotations

from collections.abc import Collection

from surefoot.app.engine.jobs.dead_letters import no_longer_late
from surefoot.app.engine.jobs.transaction import Move
from surefoot.app.rules.events import JOB_ENDS, HistoryEvent
from surefoot.app.rules.states import ENDED, Cause, Dir, JobState, Kind, OpState
from surefoot.app.store import job_reads, operation_reads, operation_writes
from surefoot.app.store.ids import operation_id
from surefoot.app.store.new_rows import new_operation
from surefoot.app.store.rows.operations import BriefOperationRow


def on_operation_finished(move: Move, operation: BriefOperationRow) -> None:
    """The operation has ended well (completed, skipped, waived): release what waited for it, in the
    job's direction.
    """
    if operation.kind == Kind.UNDO:
        release_undos(move, operation.step)
    elif operation.kind == Kind.ACTION and move.direction == Dir.FORWARD:
        release(move, operation.step)
    elif operation.kind == Kind.ACTION:
        settle(move, operation)
    finish(move)


def release(move: Move, step: str) -> None:
    """One dependency less for each direct successor of an action; what waits for nothing now is
    queued.
    """
    _decrement_dependencies(move, move.graph.followers[step], Kind.ACTION)


def settle(move: Move, operation: BriefOperationRow) -> None:
    """After the turn an action in flight has stopped: its undo waits for one thing less, or has
    nothing to do.
    """
    if operation.unknown_outcomes == 0 and operation.state != OpState.COMPLETED:
        skipped = operation_writes.skip_operation(
            move.tx, move.job.id, operation.step, operation.item, Kind.UNDO
        )
        if skipped is not None:
            move.record(HistoryEvent.COMPENSATION_SKIPPED, skipped)
            release_undos(move, operation.step)
        return
    _decrement_dependencies(move, (operation.step,), Kind.UNDO, operation.item)


def release_undos(move: Move, step: str) -> None:
    """An undo is done: one thing less for the undos that wait directly for it, also across steps
    without an undo.
    """
    _decrement_dependencies(move, move.undo_order().followers[step], Kind.UNDO)


def _decrement_dependencies(move: Move, steps: Collection[str], kind: Kind, item: str = "") -> None:
    if not steps:
        return
    rows = operation_writes.lower_missing(
        move.tx, [operation_id(move.job.id, step, item, kind) for step in steps], move.carried
    )
    move.ready(row for row in rows if row.pending_dependencies == 0)
    move.waits = move.waits or bool(rows)


def finish(move: Move) -> None:
    """End the job when nothing of it can move any more and no person is asked.

    One that has ended stays as it is.
    """
    if (
        move.state in ENDED
        or move.released
        or move.waits
        or job_reads.may_move(move.tx, move.job.id)
    ):
        return
    if move.direction == Dir.FORWARD and _confirm(move):
        return
    no_longer_late(move)
    if move.direction == Dir.FORWARD:
        move.end(JobState.COMPLETED)
        move.record(HistoryEvent.JOB_COMPLETED)
        return
    ended = JobState.CANCELLED if move.cause == Cause.CANCEL else JobState.FAILED
    move.end(ended)
    move.record(JOB_ENDS[ended])


def _confirm(move: Move) -> bool:
    """Every action has ended: queue the confirmations of those that are done, once.

    From here on there is no turn.

    A step that a person has waived is not confirmed. False: there are none to do.
    """
    names = [node.name for node in move.graph.nodes if node.confirm is not None]
    if not names or operation_reads.states_of(move.tx, move.job.id, Kind.CONFIRM):
        return False
    states = operation_reads.states_of(move.tx, move.job.id, Kind.ACTION)
    done = [name for name in names if states[name] == OpState.COMPLETED]
    if not done:
        return False
    of_job = (move.job.id, move.job.tenant_id)
    rows = [
        new_operation(move.graph, of_job, name, Kind.CONFIRM, pending_dependencies=0)
        for name in done
    ]
    move.ready(operation_writes.insert_operations(move.tx, rows))
    move.record(HistoryEvent.CONFIRMATION_STARTED, steps=done)
    return True
