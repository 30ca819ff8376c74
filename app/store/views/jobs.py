"""A job as the HTTP contract shows it. Lists of jobs are in `job_lists`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    func,
    literal_column,
    select,
)

from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.states import Dir, JobState, Kind, OpState
from surefoot.app.saga.graph import Node
from surefoot.app.secrecy import scrub_json
from surefoot.app.store.hidden import secrets_of
from surefoot.app.store.session import reading
from surefoot.app.store.statements import QUEUED, ZERO
from surefoot.app.store.tables import operations
from surefoot.app.store.views import dead_letters
from surefoot.app.store.views.effects import Effect, effects_of
from surefoot.app.store.views.names import job_links, short_name, stamp
from surefoot.app.store.views.reruns import Rerun, reruns_of
from surefoot.app.store.views.snapshot import (
    Operation,
    Snapshot,
    Standing,
    load,
)
from surefoot.app.trace import trace_id

QUEUE_ROWS = 1_000  # a position beyond this is told as this

# What an operation's state is called outside. `dropped` and `abandoned` are the engine's words.
STEP_WORDS = {OpState.DROPPED: "not_started", OpState.ABANDONED: "stopped"}


def job_view(db: Engine, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """One job. Raises: NotFound, also for another tenant's and for what cannot be an id."""
    with reading(db) as connection:
        return whole_job(connection, job_id, tenant_id)


def job_with_letters(
    db: Engine, job_id: str, tenant_id: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same, and its open dead letters as `letter_view` shows them, newest first.

    Raises: NotFound.
    """
    with reading(db) as connection:
        return _with_letters(connection, job_id, tenant_id)


def whole_job(connection: Connection, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """The view of one job, within a read. Raises: NotFound."""
    return _with_letters(connection, job_id, tenant_id)[0]


def _with_letters(
    connection: Connection, job_id: str, tenant_id: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    snapshot = load(connection, job_id, tenant_id)
    given_up = (
        dead_letters.letters_of_job(connection, snapshot.job.id)
        if _may_have_letters(snapshot)
        else []
    )
    ids = [snapshot.job.id]
    again = reruns_of(connection, ids).get(snapshot.job.id) if snapshot.ended else None
    view = brief(snapshot, effects_of(connection, ids)[snapshot.job.id], again)
    return view | {
        "steps": [_step(snapshot, node) for node in snapshot.graph.nodes],
        "result": _result(connection, snapshot)
        if snapshot.job.state == JobState.COMPLETED
        else None,
        "queue": _queue(connection, snapshot),
        "dead_letters": [dead_letters.in_job(letter) for letter in given_up],
    }, given_up


def _may_have_letters(snapshot: Standing) -> bool:
    """An operation that is given up turns its job, or holds it: any other job need not be asked."""
    return snapshot.job.direction == Dir.BACK or snapshot.job.state == JobState.ATTENTION


def brief(snapshot: Standing, effects: Sequence[Effect], again: Rerun | None) -> dict[str, Any]:
    """What a list shows of a job: all but steps, result and place in the queue.

    `again`: the job that runs it again.
    """
    job = snapshot.job
    links = job_links(job.id)
    return {
        "id": job.id,
        "name": short_name(job.saga, job.id),
        "summary": job.summary,
        "saga": job.saga,
        "version": job.version,
        "state": str(snapshot.state),
        "outcome": outcome(snapshot, effects),
        "left_over": [e.step for e in effects if e.left_over],
        "reason": job.reason,
        "resubmission_of": job.retry_of,
        "resubmitted_as": again.job_id if again else None,
        "actions": actions(snapshot, again),
        "trace_id": trace_id(job.traceparent) if job.traceparent else None,
        "progress": _progress(snapshot),
        "error": job.error,
        "trouble": job.trouble,
        "attention": _attention(snapshot),
        "tags": job.tags,
        "created_at": stamp(job.created_at),
        "started_at": stamp(snapshot.started_at),
        "finished_at": stamp(job.finished_at),
        "links": links if snapshot.can_be_cancelled else links | {"cancel": None},
    }


def actions(snapshot: Standing, again: Rerun | None) -> list[str]:
    """What can be done with the job as it stands: `cancel` until the point of no return, `redrive`
    in attention, `resubmit` an ended job while no resubmission is open or completed.
    """
    if snapshot.can_be_cancelled:
        return ["cancel"]
    if snapshot.job.state == JobState.ATTENTION:
        return ["redrive"]
    return ["resubmit"] if snapshot.ended and not (again and again.stands) else []


def _attention(snapshot: Standing) -> dict[str, Any] | None:
    """Since when a person is asked, and who has taken it on."""
    job = snapshot.job
    if job.state != JobState.ATTENTION:
        return None
    return {
        "since": stamp(job.attention_since),
        "owner": job.owner,
        "owned_at": stamp(job.owned_at),
    }


def outcome(snapshot: Standing, effects: Sequence[Effect]) -> str:
    """done | undone | undone_partly | open."""
    if snapshot.job.state == JobState.COMPLETED:
        return "done"
    if not snapshot.ended:
        return "open"
    return "undone_partly" if any(e.left_over for e in effects) else "undone"


def _step(snapshot: Snapshot, node: Node) -> dict[str, Any]:
    op = snapshot.get(node.name)
    return {
        "name": node.name,
        "title": snapshot.words.title(node.name),
        "state": _word(op),
        "attempts": op.attempts if op else 0,
        "lane": node.lane,
        "started_at": stamp(op.started_at) if op else None,
        "finished_at": stamp(op.finished_at) if op else None,
        "error": op.error if op else None,
        "compensation": _compensation(snapshot, node),
        "items": None,
    }


def _compensation(snapshot: Snapshot, node: Node) -> dict[str, Any] | None:
    if node.compensation is None:
        return None
    op = snapshot.get(node.name, Kind.UNDO)
    return {
        "state": "not_needed" if op is None else _undo_word(op),
        "attempts": op.attempts if op else 0,
        "fidelity": node.compensation.fidelity,
        "note": node.compensation.note,
    }


def _word(op: Operation | None) -> str:
    """Its state in the caller's words.

    What is queued behind another step of its chain is not in line for a worker yet.
    """
    if op is None:
        return "not_started"
    if op.state == OpState.QUEUED and not op.in_line:
        return str(OpState.PENDING)
    return STEP_WORDS.get(OpState(op.state), op.state)


def _undo_word(op: Operation) -> str:
    if op.resolution == Resolution.WAIVED:
        return str(Resolution.WAIVED)
    return "not_needed" if op.state == OpState.SKIPPED else _word(op)


def _progress(snapshot: Standing) -> dict[str, Any]:
    """How far it is in its direction, 0 to 1, and what is going on in a few words."""
    back = snapshot.job.direction == Dir.BACK
    ops = snapshot.undos if back else snapshot.actions
    finished = sum(op.done for op in ops)
    running = [op for op in ops if op.state == OpState.RUNNING]
    share = finished + sum(
        min(max(float((op.progress or {}).get("fraction") or 0.0), 0.0), 1.0) for op in running
    )
    done = snapshot.ended or not ops
    words = next(
        (
            f"{op.step}: {op.progress['message']}"
            for op in running
            if op.progress and op.progress.get("message")
        ),
        "",
    )
    what = "undone" if back else "done"
    return {
        "fraction": 1.0 if done else round(share / len(ops), 3),
        "message": words or f"{finished} of {len(ops)} steps {what}",
    }


def _result(connection: Connection, snapshot: Snapshot) -> Any:
    """The result of the last step; when there are several last ones, each by its step's name."""
    last = [node.name for node in snapshot.graph.nodes if not snapshot.graph.followers[node.name]]
    o = operations.c
    query = select(o.step, o.result).where(
        o.job_id == snapshot.job.id, o.kind == Kind.ACTION, o.item == "", o.step.in_(last)
    )
    results = {row.step: row.result for row in connection.execute(query)}
    result = results.get(last[0]) if len(last) == 1 else {step: results.get(step) for step in last}
    return scrub_json(result, secrets_of(connection, snapshot.job.id, snapshot.job.digest))


def _queue(connection: Connection, snapshot: Snapshot) -> dict[str, Any] | None:
    """Its place among what is ready in the same lane, while nobody has taken anything of it; at
    most QUEUE_ROWS.
    """
    waiting = [op for op in snapshot.actions if op.in_line and op.ready_at is not None]
    if snapshot.state != JobState.PENDING or not waiting:
        return None
    first = min(waiting, key=lambda op: (op.ready_at, op.id))
    o = operations.c
    ahead = (
        select(literal_column("1"))
        .where(
            o.state == QUEUED,
            o.pending_dependencies == ZERO,
            o.lane == first.lane,
            o.kind != Kind.UNDO,
        )
        .where(o.ready_at < first.ready_at)
        .limit(QUEUE_ROWS)
        .subquery()
    )
    return {
        "position": connection.execute(select(func.count()).select_from(ahead)).scalar_one() + 1,
        "eta_seconds": None,
    }
