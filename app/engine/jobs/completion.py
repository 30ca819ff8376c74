"""How an attempt ends with a result: running -> completed, in the job's transaction or in one
statement.

A completion after the turn is kept (its undo needs the result). What it releases leaves with the
plan, is claimed at once by the same worker, or rides on the delivery that is under way.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.engine.jobs import event_metrics
from surefoot.app.engine.jobs.attempt import Attempt, Completion, TransitionResult
from surefoot.app.engine.jobs.claiming import attempt_of
from surefoot.app.engine.jobs.late_results import Superseded, run_transition
from surefoot.app.engine.jobs.release import on_operation_finished
from surefoot.app.engine.jobs.transaction import JobTransaction, forward_layout, message_of
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import to_plan
from surefoot.app.rules.states import DONE, Dir, JobState, Kind, OpState
from surefoot.app.saga.graph import Graph
from surefoot.app.store import attempt_writes, postgres_fast_path
from surefoot.app.store.claims import ClaimRequest
from surefoot.app.store.ids import operation_id as operation_of
from surefoot.app.store.session import execute_single


def complete(
    db: Engine,
    attempt: Attempt,
    result: Any,
    carried: frozenset[str] = frozenset(),
    then: ClaimRequest | None = None,
) -> TransitionResult:
    """running -> completed with its result; what it releases leaves with the plan, or rides on this
    delivery (`carried`).

    `then`: if that was released, or is ready because it stands apart, it is claimed in the same
    transaction and never leaves as a message.
    """

    def work(tx: Connection) -> TransitionResult:
        job_tx = JobTransaction(tx, attempt.job_id, carried, noting=True)
        row = attempt_writes.finish_running_operation(
            tx, attempt.operation_id, attempt.token, result
        )
        if row is None:
            raise Superseded(attempt)
        job_tx.attempt = row.id, attempt.took_s
        # who carried on what another left
        resumed: dict[str, Any] = (
            {"worker": attempt.worker_id, "pid": attempt.pid} if attempt.number > 1 else {}
        )
        job_tx.record(HistoryEvent.COMPLETED, row, **resumed)
        on_operation_finished(job_tx, row)
        following = _run_on(job_tx, then) if then is not None else None
        plan = job_tx.close()
        turned = (
            row.kind == Kind.ACTION and job_tx.direction == Dir.BACK
        )  # its chain leads forward: it ends here
        return TransitionResult(
            True, row.state, plan, frozenset(job_tx.released), turned, following
        )

    return run_transition(db, attempt, work, ours=DONE, name="operations.complete")


def complete_forward(
    db: Engine,
    graph: Graph,
    step: str,
    attempt: Attempt,
    done: Completion,
) -> TransitionResult | None:
    """`complete` of an action in one statement, where the store can do that and the job runs
    forward undisturbed. None: it was not done.
    """
    if (
        not postgres_fast_path.serves(db)
        or attempt.number > 1
        or not (graph.followers[step] or graph.last == step)
    ):
        return None  # a later attempt has more to tell
    return execute_single(
        db,
        lambda tx: _complete_forward(tx, graph, step, attempt, done),
        name="operations.complete",
    )


def _complete_forward(
    tx: Connection, graph: Graph, step: str, attempt: Attempt, done: Completion
) -> TransitionResult | None:
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
    ready = sorted((row for row in rows if row.pending_dependencies == 0), key=lambda row: row.rank)
    for row in ready:
        if row.state == OpState.RUNNING and row.token is not None:
            following = Attempt(
                row.id,
                attempt.job_id,
                row.token,
                row.attempts,
                row.fence,
                row.unknown_outcomes,
                attempt.worker_id,
                attempt.pid,
            )
        elif row.id not in done.carried:
            alone.append(row.step)
    layout = forward_layout(graph, alone)
    plan = to_plan(layout, lambda name: message_of(attempt.job_id, graph, name, Kind.ACTION))
    return TransitionResult(
        True,
        OpState.COMPLETED,
        plan,
        frozenset(row.id for row in ready).intersection(followers),
        False,
        following,
    )


def _run_on(job_tx: JobTransaction, then: ClaimRequest) -> Attempt | None:
    if then.operation_id in job_tx.released:
        row = attempt_writes.claim_operation(job_tx.tx, then)
    else:
        row = attempt_writes.claim_first_attempt(job_tx.tx, then) if then.apart else None
    if row is None:
        return None  # normal: not its turn yet, or somebody else was faster
    job_tx.taken(row.id)
    return attempt_of(row, then)
