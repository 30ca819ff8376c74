"""Jobs that take longer than their saga allows (`sla=`): reported, redriven or undone, as the saga
says (`on_sla=`).

Each is acted upon once in each period of that length: the act moves `sla_at` on in the same
transaction, and names the old value in the UPDATE. What was done is on record as a finding, which
closes when the job has ended.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs.compensation import (
    Ground,
    past_point_of_no_return,
    start_compensation,
)
from surefoot.app.engine.jobs.dead_letters import asks_whether_it_happened, require_attention
from surefoot.app.engine.jobs.dispatch import Publishes, publish_plan, single_messages
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.operators import decisions
from surefoot.app.errors import NotFound
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.rules.planner import Plan
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import ENDED, LIVE, Cause, Dir, JobState
from surefoot.app.saga.graph import Graph
from surefoot.app.store import (
    dead_letters,
    definitions,
    message_reads,
    operation_reads,
    reconciliations,
)
from surefoot.app.store.reconciliations import LATE
from surefoot.app.store.rows.jobs import SagaOfJobRow
from surefoot.app.store.session import reading, transaction


def late_jobs(db: Engine, limit: int) -> list[dict[str, Any]]:
    """What `act_on_batch` would do: a finding for each late job. Nothing is written."""
    with reading(db, name="sla.late_jobs") as connection:
        rows = reconciliations.past_sla(connection, limit)
        graphs = {row.digest: definitions.graph_of(connection, row.digest) for row in rows}
    return [
        _finding(row.id, graphs[row.digest], graphs[row.digest].on_sla, row.state) for row in rows
    ]


def act_on_batch(
    db: Engine,
    settings: Settings,
    publisher: Publishes | None,
    actor: str,
    isolated: Isolated | None = None,
) -> tuple[list[dict[str, Any]], bool]:
    """Act on the latest SUREFOOT_RECONCILE_ROWS jobs.

    Returns (what was done: a finding for each, whether there may be more).
    """
    isolated = isolated or Isolated(strict=True)
    with reading(db, name="sla.act_on_batch") as connection:
        rows = reconciliations.past_sla(connection, isolated.room(LATE, settings.reconcile_rows))
    done: list[dict[str, Any]] = []

    def act(row: SagaOfJobRow) -> int:
        finding, plan = transaction(
            db, lambda tx: _act(tx, settings, row.id, actor), name="sla.act_on_batch"
        )
        if publisher is not None:
            publish_plan(db, publisher, plan)
        if finding is not None:
            done.append(finding)
        return 1

    isolated.each(LATE, rows, act)
    return done, bool(done) and len(rows) >= settings.reconcile_rows


def close_landed(db: Engine, position: str, limit: int, actor: str) -> str:
    """Close the findings of late jobs that have ended, one page of them.

    Returns where to go on; "" at the end.
    """
    with reading(db, name="sla.close_landed") as connection:
        ids, further = reconciliations.landed(connection, position, limit)
    for finding_id in ids:
        transaction(
            db,
            lambda tx, one=finding_id: reconciliations.close(  # type: ignore[misc]
                tx, one, actor=actor, why="the job has ended"
            ),
            name="sla.close_landed",
        )
    return further


def _act(
    tx: Connection, settings: Settings, job_id: str, actor: str
) -> tuple[dict[str, Any] | None, Plan]:
    try:
        job_tx = JobTransaction(tx, job_id)
    except NotFound:
        return None, ()
    if job_tx.state in ENDED or not reconciliations.next_period(tx, job_id, job_tx.graph.sla_s):
        return None, ()
    state, rung = job_tx.state, ()  # type: tuple[str, Plan]
    match job_tx.graph.on_sla:
        case "redrive":
            action, rung = _redrive(job_tx, actor)
        case "compensate":
            action = _compensate(job_tx, settings, actor)
        case _:
            action = FindingAction.REPORTED
    finding = _finding(job_id, job_tx.graph, action, state)
    job_tx.record(
        HistoryEvent.SLA_MISSED, actor=actor, action=action, sla_seconds=job_tx.graph.sla_s
    )
    row = finding | {"tenant_id": job_tx.job.tenant_id, "actor": actor}
    if not reconciliations.renew(tx, row):
        reconciliations.note(tx, row)
    return finding, job_tx.close() + rung


def _redrive(job_tx: JobTransaction, actor: str) -> tuple[FindingAction, Plan]:
    """Fresh attempts for what stands, unless only a person can answer; what waits may go on now,
    and is rung once more.
    """
    letters = [
        one
        for one in dead_letters.blocking_letters(job_tx.tx, job_tx.job.id)
        if not asks_whether_it_happened(job_tx.graph, one)
    ]
    waiting = reconciliations.ready_of(job_tx.tx, job_tx.job.id)
    reconciliations.put_forward(job_tx.tx, job_tx.job.id)
    for letter in letters:
        decisions.retry_in(job_tx, letter, actor, "it takes longer than its saga allows")
    return FindingAction.REDRIVEN if letters else FindingAction.REPUBLISHED, single_messages(
        message_reads.to_ring(job_tx.tx, waiting)
    )


def _compensate(job_tx: JobTransaction, settings: Settings, actor: str) -> FindingAction:
    """The turn.

    Past the point of no return a person is asked; what is undone already, or stands, goes on as it
    is.
    """
    ground = Ground(Cause.SLA, "it took longer than its saga allows", actor=actor)
    if start_compensation(job_tx, ground, undo_s=settings.undo_seconds):
        return FindingAction.COMPENSATED
    if (
        job_tx.direction == Dir.FORWARD
        and job_tx.state == JobState.RUNNING
        and past_point_of_no_return(job_tx) is not None
    ):
        live = [
            row
            for row in operation_reads.operations_of(job_tx.tx, job_tx.job.id)
            if row.state in LIVE
        ]
        error = {
            "type": "Late",
            "message": "it takes longer than its saga allows, and is past the point of no return",
        }
        if live:
            require_attention(job_tx, live[0], why=FailureReason.LATE, error=error)
            return FindingAction.ATTENTION
    return FindingAction.REPORTED


def _finding(job_id: str, graph: Graph, action: str, state: str) -> dict[str, Any]:
    detail = {"on_sla": graph.on_sla, "sla_seconds": graph.sla_s, "state": state}
    named = {
        "job_id": job_id,
        "saga": graph.saga,
        "step": "",
        "item": "",
        "service": "",
        "key": job_id,
    }
    return named | {"finding": Finding.LATE, "action": action, "detail": detail}
