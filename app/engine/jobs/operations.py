"""How an attempt ends without a result: it is parked, fails, expires or is handed back.

Each is one transaction of the job.

Retries never lean on the broker: their timers are rows. `completion` is how one ends with a result.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.clock import after, now
from surefoot.app.config import Settings
from surefoot.app.engine.jobs import retries, unreadable
from surefoot.app.engine.jobs.attempt import LEASE_LOST, Attempt, Failure, TransitionResult
from surefoot.app.engine.jobs.compensation import Ground, start_compensation
from surefoot.app.engine.jobs.dead_letters import open_letter, require_attention
from surefoot.app.engine.jobs.late_results import Superseded, run_transition
from surefoot.app.engine.jobs.release import finish, resolve_abandoned_action
from surefoot.app.engine.jobs.retries import SERVED
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Cause, Dir, Kind, OpState
from surefoot.app.rules.waits import WaitReason
from surefoot.app.saga.graph import Node
from surefoot.app.store import attempt_writes, operation_reads, operation_writes
from surefoot.app.store.rows.operations import OperationRow
from surefoot.app.store.session import transaction


def park(db: Engine, attempt: Attempt, seconds: float) -> TransitionResult:
    """running -> waiting until a time, without using an attempt (the step said `NotYet`).

    Of a step that is done at most once it says that nothing has taken effect, or nobody could ask
    it again. Any other may have begun something that it waits for, and is undone if the job turns
    meanwhile.
    """

    def work(tx: Connection) -> TransitionResult:
        job_tx = JobTransaction(tx, attempt.job_id)
        row = operation_reads.operation(tx, attempt.operation_id)
        if row is None or row.token != attempt.token or row.state != OpState.RUNNING:
            raise Superseded(attempt)
        job_tx.attempt = row.id, attempt.took_s
        if row.stop_requested:
            return _abandon(
                job_tx,
                row,
                Failure(
                    FailureReason.TRANSIENT,
                    {"type": "NotYet", "message": "stopped while it waited"},
                ),
            )
        waits = {
            "state": OpState.WAITING,
            "wait_reason": WaitReason.NOT_YET,
            "due_at": after(seconds),
            "max_attempts": row.max_attempts + 1,
        } | SERVED
        waits["error"] = None  # that of an attempt before: this one has not failed
        if row.kind == Kind.ACTION and job_tx.graph.by_name[row.step].at_most_once:
            waits["unknown_outcomes"] = row.unknown_outcomes - 1
        attempt_writes.end_running_operation(tx, row.id, attempt.token, waits)
        job_tx.record_rarely(HistoryEvent.PARKED, row, seconds=seconds)
        return TransitionResult(True, OpState.WAITING, job_tx.close())

    return run_transition(
        db, attempt, work, ours=(OpState.WAITING, OpState.ABANDONED), name="operations.park"
    )


def fail(db: Engine, settings: Settings, attempt: Attempt, failure: Failure) -> TransitionResult:
    """End an attempt that has no result: it waits for its next try, or the operation has failed and
    the job turns or asks.
    """

    def work(tx: Connection) -> TransitionResult:
        job_tx = JobTransaction(tx, attempt.job_id)
        row = operation_reads.operation(tx, attempt.operation_id)
        if row is None or row.token != attempt.token or row.state != OpState.RUNNING:
            raise Superseded(attempt)
        job_tx.attempt = row.id, attempt.took_s
        return _fail_running(job_tx, settings, row, failure)

    ours = (OpState.WAITING, OpState.QUEUED, OpState.FAILED, OpState.ABANDONED)
    return run_transition(db, attempt, work, ours=ours, name="operations.fail")


def expire(
    db: Engine, settings: Settings, operation_id: str, job_id: str, token: str
) -> TransitionResult:
    """A lease has run out: as `fail`, tried again at once.

    The guard is repeated: the scanning process may have slept since.
    """

    def work(tx: Connection) -> TransitionResult:
        job_tx = JobTransaction(tx, job_id)
        row = operation_reads.operation(tx, operation_id)
        failure = Failure(
            FailureReason.LOST,
            {
                "type": "LeaseExpired",
                "message": "the worker stopped answering; the outcome of this attempt is unknown",
            },
        )
        if row is None or row.token != token or row.state != OpState.RUNNING:
            return LEASE_LOST
        return _fail_running(job_tx, settings, row, failure, expired_only=True)

    return transaction(db, work, name="operations.expire")


def nobody_came(db: Engine, settings: Settings, operation_id: str, job_id: str) -> TransitionResult:
    """An operation lay ready past its queue time-out: a failure of its own kind, without an
    attempt.
    """

    def work(tx: Connection) -> TransitionResult:
        job_tx = JobTransaction(tx, job_id)
        row = operation_writes.fail_unclaimed(tx, operation_id)
        if row is None:
            return LEASE_LOST
        error = {
            "type": "QueueTimeout",
            "message": f"no worker of lane {row.lane} took it for {row.queue_s:g} s",
        }
        return _failed(job_tx, settings, row, Failure(FailureReason.QUEUE_TIMEOUT, error))

    return transaction(db, work, name="operations.nobody_came")


def hand_back(db: Engine, operation_id: str, job_id: str, token: str) -> TransitionResult:
    """A worker shuts down: its operation is queued again and the attempt given back; what may have
    happened stays noted.
    """

    def work(tx: Connection) -> TransitionResult:
        job_tx = JobTransaction(tx, job_id)
        row = operation_reads.operation(tx, operation_id)
        if row is None or row.token != token or row.state != OpState.RUNNING:
            return LEASE_LOST
        if row.stop_requested:
            return _abandon(
                job_tx,
                row,
                Failure(
                    FailureReason.LOST, {"type": "Shutdown", "message": "its worker was shut down"}
                ),
            )
        ended = attempt_writes.end_running_operation(
            tx,
            row.id,
            token,
            _requeued(row)
            | _revoked(row, FailureReason.LOST)
            | {"max_attempts": row.max_attempts + 1},
        )
        job_tx.record(HistoryEvent.ATTEMPT_RELEASED, row)
        job_tx.ready([ended] if ended is not None else [])
        return TransitionResult(True, OpState.QUEUED, job_tx.close())

    return transaction(db, work, name="operations.hand_back")


# --- inside a job's transaction -------------------------------------------------------------------
def _fail_running(
    job_tx: JobTransaction,
    settings: Settings,
    row: OperationRow,
    failure: Failure,
    *,
    expired_only: bool = False,
) -> TransitionResult:
    unknown_outcomes = (
        row.unknown_outcomes - 1
        if failure.nothing_happened and row.unknown_outcomes > 0
        else row.unknown_outcomes
    )
    common: dict[str, Any] = (
        {"unknown_outcomes": unknown_outcomes, "error": failure.error}
        | _known(failure)
        | _revoked(row, failure.how)
    )
    if job_tx.direction == Dir.BACK and row.kind == Kind.ACTION:
        return _abandon(
            job_tx, row, failure, unknown_outcomes=unknown_outcomes, expired_only=expired_only
        )
    if failure.how == FailureReason.UNREADABLE and not unreadable.given_up(job_tx, row):
        parked = unreadable.park(job_tx, row, failure.error, began=not failure.nothing_happened)
        return (
            TransitionResult(True, OpState.WAITING, job_tx.close())
            if parked is not None
            else LEASE_LOST
        )
    gone = failure.how.rule.attempt_gone
    noted = (
        retries.goes_on(job_tx, row, failure.kind)
        if failure.how == FailureReason.TRANSIENT
        else None
    )
    again = noted is not None or (gone and row.attempts < row.max_attempts)
    if again and gone:
        values = common | _requeued(row) | ({"sent_at": now()} if failure.message_returns else {})
    elif again:
        delay = failure.delay_s
        if delay is None:
            delay = retries.pause_s(job_tx, row)
        values = (
            common
            | (noted or {})
            | {"state": OpState.WAITING, "wait_reason": WaitReason.RETRY, "due_at": after(delay)}
        )
    else:
        values = common | {"state": OpState.FAILED, "finished_at": now()}
    ended = attempt_writes.end_running_operation(
        job_tx.tx, row.id, row.token, values, expired_only=expired_only
    )
    if ended is None:
        return LEASE_LOST
    if not again:
        return _failed(job_tx, settings, ended, failure)
    left: dict[str, Any] = {"worker": row.worker_id, "pid": row.pid} if gone else {}
    job_tx.record(failure.how.rule.again, row, error=failure.error, again=True, **left)
    cancelled = Ground(Cause.CANCEL, "cancelled on request")
    if job_tx.job.cancel_requested and start_compensation(
        job_tx, cancelled, undo_s=settings.undo_seconds
    ):
        return TransitionResult(
            True, OpState.ABANDONED, job_tx.close(), frozenset(job_tx.released), True
        )
    if gone:
        job_tx.ready([ended])
    if failure.message_returns:
        job_tx.carried |= {row.id}
    return TransitionResult(True, ended.state, job_tx.close())


def _requeued(row: OperationRow) -> dict[str, Any]:
    return {
        "state": OpState.QUEUED,
        "ready_at": now(),
        "claim_deadline_at": after(row.queue_s),
        "sent_at": None,
        "stop_requested": False,
    }


def _revoked(row: OperationRow, how: FailureReason) -> dict[str, Any]:
    """Somebody else ends this attempt: its token is spent.

    Should its holder wake, it is not taken for one whose own end landed.
    """
    return {"token": f"{row.token}.x"} if how.rule.attempt_gone else {}


def _known(failure: Failure) -> dict[str, Any]:
    return {} if failure.result is None else {"result": failure.result}


def _abandon(
    job_tx: JobTransaction,
    row: OperationRow,
    failure: Failure,
    *,
    unknown_outcomes: int | None = None,
    expired_only: bool = False,
) -> TransitionResult:
    """The job has turned: this action is never tried again; its undo settles what it may have done."""
    values = {
        "state": OpState.ABANDONED,
        "unknown_outcomes": row.unknown_outcomes if unknown_outcomes is None else unknown_outcomes,
        "error": failure.error,
        "finished_at": now(),
    }
    values |= _known(failure) | _revoked(row, failure.how)
    ended = attempt_writes.end_running_operation(
        job_tx.tx, row.id, row.token, values, expired_only=expired_only
    )
    if ended is None:
        return LEASE_LOST
    job_tx.record(HistoryEvent.ACTION_ABANDONED, row, error=failure.error)
    resolve_abandoned_action(job_tx, ended)
    finish(job_tx)
    return TransitionResult(
        True, OpState.ABANDONED, job_tx.close(), frozenset(job_tx.released), True
    )


def _failed(
    job_tx: JobTransaction, settings: Settings, row: OperationRow, failure: Failure
) -> TransitionResult:
    """The operation is out of attempts, or must not be tried again: the job turns, or a person is
    asked.
    """
    node = job_tx.graph.by_name[row.step]
    why = _why(failure, node, row)
    job_tx.record(HistoryEvent.FAILED, row, error=failure.error, why=why)
    error = failure.error | {"step": row.step, "kind": row.kind}
    if not _asks_a_person(node, row):
        reason = str(failure.error.get("message", ""))
        ground = Ground(Cause.FAILED, reason, error)
        if start_compensation(job_tx, ground, undo_s=settings.undo_seconds):
            if not failure.how.rule.answers_itself:
                open_letter(job_tx, row, why=why, error=error, blocking=False)
            return TransitionResult(
                True, OpState.FAILED, job_tx.close(), frozenset(job_tx.released), True
            )
    require_attention(job_tx, row, why=why, error=error)
    return TransitionResult(True, OpState.FAILED, job_tx.close())


def _asks_a_person(node: Node, row: OperationRow) -> bool:
    if row.kind != Kind.ACTION or node.past_pivot:
        return True
    return (node.pivot or node.irreversible) and row.unknown_outcomes > 0


def _why(failure: Failure, node: Node, row: OperationRow) -> FailureReason:
    """The word of its letter.

    What is done at most once and may have happened asks that question, however it ended.
    """
    if (
        row.kind == Kind.ACTION
        and node.at_most_once
        and row.unknown_outcomes > 0
        and not failure.how.rule.for_good
    ):
        return FailureReason.UNKNOWN_OUTCOME
    return failure.how.letter
