"""The life of one attempt: claim, complete, park, fail, expire. Each is one transaction of the job.

A completion after the turn is kept (its undo needs the result), a completion after the lease was lost is rolled back
whole, the step's own rows included. Retries never lean on the broker: their timers are rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.clock import after, now
from surefoot.app.config import Settings
from surefoot.app.engine.jobs import event_metrics, retries, unreadable
from surefoot.app.engine.jobs.compensation import Ground, turn
from surefoot.app.engine.jobs.dead_letters import ask_a_person, open_letter
from surefoot.app.engine.jobs.release import after_end, finish, settle
from surefoot.app.engine.jobs.retries import PLAIN, SERVED, Kindred
from surefoot.app.engine.jobs.transaction import Move, forward_layout, message_of
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import Plan, to_plan
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import DONE, Cause, Dir, JobState, Kind, OpState
from surefoot.app.rules.waits import WaitReason
from surefoot.app.saga.graph import Graph, Limits, Node
from surefoot.app.store import attempt_writes, operation_reads, operation_writes, postgres_fast_path
from surefoot.app.store.claims import Holder, Taking
from surefoot.app.store.ids import operation_id as operation_of
from surefoot.app.store.rows.operations import ClaimedWorkRow, ClaimRow, OperationRow
from surefoot.app.store.session import one_statement, transaction


@dataclass(frozen=True)
class Attempt:
    """One claim of one operation: what every write of it names. `boot`, `pid`: the worker and the child that has it."""

    operation_id: str
    job_id: str
    token: str
    number: int
    fence: int
    unsettled: int
    boot: str = ""
    pid: int = 0
    began: float = field(
        default_factory=time.monotonic, compare=False, repr=False
    )  # by this process's own clock

    @property
    def took_s(self) -> float:
        """How long ago it was claimed, seconds."""
        return time.monotonic() - self.began


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended without a result.

    `nothing_happened`: this attempt is known to have had no effect. `kind`: what decides whether a transient one is tried again.
    """

    how: FailureReason
    error: dict[str, Any]
    nothing_happened: bool = False
    delay_s: float | None = None
    kind: Kindred = PLAIN
    message_returns: bool = (
        False  # the broker's message is put back by Celery: no need to ring again
    )
    result: Any = None  # of one that failed for good: what its undo is given


@dataclass(frozen=True)
class Completion:
    """What an attempt completes with. `carried`, `then`: as `complete`."""

    result: Any
    carried: frozenset[str] = frozenset()
    then: Taking | None = None


@dataclass(frozen=True)
class Ended:
    """How a move of an attempt went. `landed` False: the lease was lost, nothing was written but a line of history."""

    landed: bool
    state: str = ""
    plan: Plan = ()
    released: frozenset[str] = field(default_factory=frozenset)
    turned: bool = False
    following: Attempt | None = None


LATE = Ended(landed=False)


def taking(
    settings: Settings,
    operation_id: str,
    limits: Limits,
    holder: Holder,
    *,
    apart: bool = False,
) -> Taking:
    """The claim of an operation with these limits by this holder. `apart`: as `Taking`."""
    hard_s = limits.timeout_s + settings.hard_limit_grace_seconds
    message = holder.message or operation_id
    return Taking(
        operation_id, holder.boot, holder.pid, message, settings.lease_seconds, hard_s, apart
    )


def claim(db: Engine, taking: Taking) -> Attempt | None:
    """Claim an operation. None: not ready, not allowed, or somebody else has it."""
    row = one_statement(
        db, lambda tx: attempt_writes.claim_operation(tx, taking), name="operations.claim"
    )
    return _attempt(row, taking) if row is not None else None


def claim_to_work(
    db: Engine, taking: Taking, graph: Graph, digest: str, of: tuple[str, str, str, str]
) -> tuple[Attempt, ClaimedWorkRow] | None:
    """`claim`, with what the step is done with (`attempt_writes.claim_to_work`), if the job is pinned to this definition.

    `of`: the operation's job, step, kind and item.
    """
    job_id, step, kind, _item = of
    before = (
        [operation_of(job_id, name, "", Kind.ACTION) for name in graph.by_name[step].after]
        if kind == Kind.ACTION
        else []
    )
    row = one_statement(
        db,
        lambda tx: attempt_writes.claim_to_work(tx, taking, of=of, digest=digest, before=before),
        name="operations.claim_to_work",
    )
    return (_attempt(row, taking), row) if row is not None else None


def _attempt(row: ClaimRow, taking: Taking) -> Attempt:
    return Attempt(
        row.id,
        row.job_id,
        row.token,
        row.attempts,
        row.fence,
        row.unsettled,
        taking.boot,
        taking.pid,
    )


def complete(
    db: Engine,
    attempt: Attempt,
    result: Any,
    carried: frozenset[str] = frozenset(),
    then: Taking | None = None,
) -> Ended:
    """running -> completed with its result; what it releases leaves with the plan, or rides on this delivery (`carried`).

    `then`: if that was released, or is ready because it stands apart, it is claimed in the same transaction and never leaves as a message.
    """

    def work(tx: Connection) -> Ended:
        move = Move(tx, attempt.job_id, carried, noting=True)
        row = attempt_writes.finish_running_operation(
            tx, attempt.operation_id, attempt.token, result
        )
        if row is None:
            raise _Late(attempt)
        move.attempt = row.id, attempt.took_s
        # who carried on what another left
        resumed: dict[str, Any] = (
            {"worker": attempt.boot, "pid": attempt.pid} if attempt.number > 1 else {}
        )
        move.record(HistoryEvent.COMPLETED, row, **resumed)
        after_end(move, row)
        following = _run_on(move, then) if then is not None else None
        plan = move.close()
        turned = (
            row.kind == Kind.ACTION and move.dir == Dir.BACK
        )  # its chain leads forward: it ends here
        return Ended(True, row.state, plan, frozenset(move.released), turned, following)

    return _landing(db, attempt, work, ours=DONE, name="operations.complete")


def complete_forward(
    db: Engine,
    graph: Graph,
    step: str,
    attempt: Attempt,
    done: Completion,
) -> Ended | None:
    """`complete` of an action in one statement, where the store can do that and the job runs forward undisturbed. None: it was not done."""
    if (
        not postgres_fast_path.serves(db)
        or attempt.number > 1
        or not (graph.followers[step] or graph.last == step)
    ):
        return None  # a later attempt has more to tell
    return one_statement(
        db,
        lambda tx: _complete_forward(tx, graph, step, attempt, done),
        name="operations.complete",
    )


def _complete_forward(
    tx: Connection, graph: Graph, step: str, attempt: Attempt, done: Completion
) -> Ended | None:
    followers = [
        operation_of(attempt.job_id, follower, "", Kind.ACTION)
        for follower in graph.followers[step]
    ]
    ends = graph.last == step
    written = postgres_fast_path.complete_forward(
        tx,
        attempt.job_id,
        attempt.operation_id,
        attempt.token,
        done.result,
        followers,
        done.carried,
        done.then,
        ends=ends,
    )
    if written is None:
        return None
    rows, job_took_s = written
    event_metrics.note_completed(graph.saga, step, Kind.ACTION, attempt.took_s)
    if ends:
        event_metrics.note_event(graph.saga, HistoryEvent.JOB_COMPLETED, None, {})
        event_metrics.note_job_seconds(graph.saga, JobState.COMPLETED, job_took_s)
    following = None
    alone = []
    ready = sorted((row for row in rows if row.missing == 0), key=lambda row: row.rank)
    for row in ready:
        if row.state == OpState.RUNNING and row.token is not None:
            following = Attempt(
                row.id,
                attempt.job_id,
                row.token,
                row.attempts,
                row.fence,
                row.unsettled,
                attempt.boot,
                attempt.pid,
            )
        elif row.id not in done.carried:
            alone.append(row.step)
    layout = forward_layout(graph, alone)
    plan = to_plan(layout, lambda name: message_of(attempt.job_id, graph, name, Kind.ACTION))
    return Ended(
        True,
        OpState.COMPLETED,
        plan,
        frozenset(row.id for row in ready).intersection(followers),
        False,
        following,
    )


def park(db: Engine, attempt: Attempt, seconds: float) -> Ended:
    """running -> waiting until a time, without using an attempt (the step said `NotYet`).

    Of a step that is done at most once it says that nothing has taken effect, or nobody could ask it again. Any other may have
    begun something that it waits for, and is undone if the job turns meanwhile.
    """

    def work(tx: Connection) -> Ended:
        move = Move(tx, attempt.job_id)
        row = operation_reads.operation(tx, attempt.operation_id)
        if row is None or row.token != attempt.token or row.state != OpState.RUNNING:
            raise _Late(attempt)
        move.attempt = row.id, attempt.took_s
        if row.stop:
            return _abandon(
                move,
                row,
                Failure(
                    FailureReason.TRANSIENT,
                    {"type": "NotYet", "message": "stopped while it waited"},
                ),
            )
        waits = {
            "state": OpState.WAITING,
            "wait": WaitReason.NOT_YET,
            "due_at": after(seconds),
            "allowance": row.allowance + 1,
        } | SERVED
        waits["error"] = None  # that of an attempt before: this one has not failed
        if row.kind == Kind.ACTION and move.graph.by_name[row.step].at_most_once:
            waits["unsettled"] = row.unsettled - 1
        attempt_writes.end_running_operation(tx, row.id, attempt.token, waits)
        move.record_rarely(HistoryEvent.PARKED, row, seconds=seconds)
        return Ended(True, OpState.WAITING, move.close())

    return _landing(
        db, attempt, work, ours=(OpState.WAITING, OpState.ABANDONED), name="operations.park"
    )


def fail(db: Engine, settings: Settings, attempt: Attempt, failure: Failure) -> Ended:
    """End an attempt that has no result: it waits for its next try, or the operation has failed and the job turns or asks."""

    def work(tx: Connection) -> Ended:
        move = Move(tx, attempt.job_id)
        row = operation_reads.operation(tx, attempt.operation_id)
        if row is None or row.token != attempt.token or row.state != OpState.RUNNING:
            raise _Late(attempt)
        move.attempt = row.id, attempt.took_s
        return _fail_running(move, settings, row, failure)

    ours = (OpState.WAITING, OpState.QUEUED, OpState.FAILED, OpState.ABANDONED)
    return _landing(db, attempt, work, ours=ours, name="operations.fail")


def expire(db: Engine, settings: Settings, operation_id: str, job_id: str, token: str) -> Ended:
    """A lease has run out: as `fail`, tried again at once. The guard is repeated: the scanning process may have slept since."""

    def work(tx: Connection) -> Ended:
        move = Move(tx, job_id)
        row = operation_reads.operation(tx, operation_id)
        failure = Failure(
            FailureReason.LOST,
            {
                "type": "LeaseExpired",
                "message": "the worker stopped answering; the outcome of this attempt is unknown",
            },
        )
        if row is None or row.token != token or row.state != OpState.RUNNING:
            return LATE
        return _fail_running(move, settings, row, failure, expired_only=True)

    return transaction(db, work, name="operations.expire")


def nobody_came(db: Engine, settings: Settings, operation_id: str, job_id: str) -> Ended:
    """An operation lay ready past its queue time-out: a failure of its own kind, without an attempt."""

    def work(tx: Connection) -> Ended:
        move = Move(tx, job_id)
        row = operation_writes.fail_unclaimed(tx, operation_id)
        if row is None:
            return LATE
        error = {
            "type": "QueueTimeout",
            "message": f"no worker of lane {row.lane} took it for {row.queue_s:g} s",
        }
        return _failed(move, settings, row, Failure(FailureReason.QUEUE_TIMEOUT, error))

    return transaction(db, work, name="operations.nobody_came")


def hand_back(db: Engine, operation_id: str, job_id: str, token: str) -> Ended:
    """A worker shuts down: its operation is queued again and the attempt given back; what may have happened stays noted."""

    def work(tx: Connection) -> Ended:
        move = Move(tx, job_id)
        row = operation_reads.operation(tx, operation_id)
        if row is None or row.token != token or row.state != OpState.RUNNING:
            return LATE
        if row.stop:
            return _abandon(
                move,
                row,
                Failure(
                    FailureReason.LOST, {"type": "Shutdown", "message": "its worker was shut down"}
                ),
            )
        ended = attempt_writes.end_running_operation(
            tx,
            row.id,
            token,
            _requeued(row) | _revoked(row, FailureReason.LOST) | {"allowance": row.allowance + 1},
        )
        move.record(HistoryEvent.ATTEMPT_RELEASED, row)
        move.ready([ended] if ended is not None else [])
        return Ended(True, OpState.QUEUED, move.close())

    return transaction(db, work, name="operations.hand_back")


def _run_on(move: Move, then: Taking) -> Attempt | None:
    if then.operation_id in move.released:
        row = attempt_writes.claim_operation(move.tx, then)
    else:
        row = attempt_writes.claim_first_attempt(move.tx, then) if then.apart else None
    if row is None:
        return None  # normal: not its turn yet, or somebody else was faster
    move.taken(row.id)
    return _attempt(row, then)


# --- inside a move ---------------------------------------------------------------------------------------------
def _fail_running(
    move: Move,
    settings: Settings,
    row: OperationRow,
    failure: Failure,
    *,
    expired_only: bool = False,
) -> Ended:
    unsettled = (
        row.unsettled - 1 if failure.nothing_happened and row.unsettled > 0 else row.unsettled
    )
    common: dict[str, Any] = (
        {"unsettled": unsettled, "error": failure.error}
        | _known(failure)
        | _revoked(row, failure.how)
    )
    if move.dir == Dir.BACK and row.kind == Kind.ACTION:
        return _abandon(move, row, failure, unsettled=unsettled, expired_only=expired_only)
    if failure.how == FailureReason.UNREADABLE and not unreadable.given_up(move, row):
        parked = unreadable.park(move, row, failure.error, began=not failure.nothing_happened)
        return Ended(True, OpState.WAITING, move.close()) if parked is not None else LATE
    gone = failure.how.rule.attempt_gone
    noted = (
        retries.goes_on(move, row, failure.kind) if failure.how == FailureReason.TRANSIENT else None
    )
    again = noted is not None or (gone and row.attempts < row.allowance)
    if again and gone:
        values = common | _requeued(row) | ({"sent_at": now()} if failure.message_returns else {})
    elif again:
        delay = failure.delay_s
        if delay is None:
            delay = retries.pause_s(move, row)
        values = (
            common
            | (noted or {})
            | {"state": OpState.WAITING, "wait": WaitReason.RETRY, "due_at": after(delay)}
        )
    else:
        values = common | {"state": OpState.FAILED, "finished_at": now()}
    ended = attempt_writes.end_running_operation(
        move.tx, row.id, row.token, values, expired_only=expired_only
    )
    if ended is None:
        return LATE
    if not again:
        return _failed(move, settings, ended, failure)
    left: dict[str, Any] = {"worker": row.boot, "pid": row.pid} if gone else {}
    move.record(failure.how.rule.again, row, error=failure.error, again=True, **left)
    cancelled = Ground(Cause.CANCEL, "cancelled on request")
    if move.job.cancel_wish and turn(move, cancelled, undo_s=settings.undo_seconds):
        return Ended(True, OpState.ABANDONED, move.close(), frozenset(move.released), True)
    if gone:
        move.ready([ended])
    if failure.message_returns:
        move.carried |= {row.id}
    return Ended(True, ended.state, move.close())


def _requeued(row: OperationRow) -> dict[str, Any]:
    return {
        "state": OpState.QUEUED,
        "ready_at": now(),
        "queue_by": after(row.queue_s),
        "sent_at": None,
        "stop": False,
    }


def _revoked(row: OperationRow, how: FailureReason) -> dict[str, Any]:
    """Somebody else ends this attempt: its token is spent. Should its holder wake, it is not taken for one whose own end landed."""
    return {"token": f"{row.token}.x"} if how.rule.attempt_gone else {}


def _known(failure: Failure) -> dict[str, Any]:
    return {} if failure.result is None else {"result": failure.result}


def _abandon(
    move: Move,
    row: OperationRow,
    failure: Failure,
    *,
    unsettled: int | None = None,
    expired_only: bool = False,
) -> Ended:
    """The job has turned: this action is never tried again; its undo settles what it may have done."""
    values = {
        "state": OpState.ABANDONED,
        "unsettled": row.unsettled if unsettled is None else unsettled,
        "error": failure.error,
        "finished_at": now(),
    }
    values |= _known(failure) | _revoked(row, failure.how)
    ended = attempt_writes.end_running_operation(
        move.tx, row.id, row.token, values, expired_only=expired_only
    )
    if ended is None:
        return LATE
    move.record(HistoryEvent.ACTION_ABANDONED, row, error=failure.error)
    settle(move, ended)
    finish(move)
    return Ended(True, OpState.ABANDONED, move.close(), frozenset(move.released), True)


def _failed(move: Move, settings: Settings, row: OperationRow, failure: Failure) -> Ended:
    """The operation is out of attempts, or must not be tried again: the job turns, or a person is asked."""
    node = move.graph.by_name[row.step]
    why = _why(failure, node, row)
    move.record(HistoryEvent.FAILED, row, error=failure.error, why=why)
    error = failure.error | {"step": row.step, "kind": row.kind}
    if not _asks_a_person(node, row):
        reason = str(failure.error.get("message", ""))
        ground = Ground(Cause.FAILED, reason, error)
        if turn(move, ground, undo_s=settings.undo_seconds):
            if not failure.how.rule.answers_itself:
                open_letter(move, row, why=why, error=error, blocking=False)
            return Ended(True, OpState.FAILED, move.close(), frozenset(move.released), True)
    ask_a_person(move, row, why=why, error=error)
    return Ended(True, OpState.FAILED, move.close())


def _asks_a_person(node: Node, row: OperationRow) -> bool:
    if row.kind != Kind.ACTION or node.past_pivot:
        return True
    return (node.pivot or node.irreversible) and row.unsettled > 0


def _why(failure: Failure, node: Node, row: OperationRow) -> FailureReason:
    """The word of its letter. What is done at most once and may have happened asks that question, however it ended."""
    if (
        row.kind == Kind.ACTION
        and node.at_most_once
        and row.unsettled > 0
        and not failure.how.rule.for_good
    ):
        return FailureReason.UNKNOWN_OUTCOME
    return failure.how.letter


# --- late results and unknown commits ----------------------------------------------------------------------------
class _Late(Exception):
    """Rolls the transaction back: the lease of this attempt was lost."""


def _landing(
    db: Engine,
    attempt: Attempt,
    work: Callable[[Connection], Ended],
    *,
    ours: tuple[OpState, ...],
    name: str,
) -> Ended:
    """Run a move of an attempt. If it finds the row changed, tell whether our own earlier COMMIT did that, or we are late."""
    try:
        return transaction(db, work, name=name)
    except _Late:
        return transaction(db, lambda tx: _late(tx, attempt, ours), name=name)


def _late(tx: Connection, attempt: Attempt, ours: tuple[OpState, ...]) -> Ended:
    move = Move(tx, attempt.job_id)
    row = operation_reads.operation(tx, attempt.operation_id)
    if row is not None and row.token == attempt.token and row.state in ours:
        return Ended(
            True, row.state
        )  # the COMMIT whose answer was lost had landed; the sweep rings what it released
    if row is not None:
        move.record(
            HistoryEvent.LATE_RESULT_REFUSED,
            None,
            step=row.step,
            kind=row.kind,
            attempt=attempt.number,
            fence=attempt.fence,
            now_fence=row.fence,
        )
        move.close()
    return LATE
