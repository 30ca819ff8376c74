"""Dead letters as people see them: what was given up, why, how it was tried, and what can be done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, select

from surefoot.app.errors import NotFound, UnreadableDefinition
from surefoot.app.rules.decisions import AboutLetter, LetterAction, decisions, when_ended
from surefoot.app.rules.events import named, of_attempts, stored
from surefoot.app.rules.states import LetterState
from surefoot.app.saga.graph import Graph
from surefoot.app.store import dead_letters, definitions
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.dead_letters import DeadLetterRow, LetterOfJobRow, QuestionRow
from surefoot.app.store.session import reading
from surefoot.app.store.tables import history
from surefoot.app.store.views.names import API, job_links, short_name, stamp

PAGE_ROWS = 50
PAGE_ROWS_MOST = 200
ENDS_OF_ATTEMPTS = stored(*of_attempts())
ATTEMPTS_SHOWN = 100


def letters_view(
    db: Engine, meant: DeadLetterFilter, *, after_id: str | None = None, limit: int = PAGE_ROWS
) -> tuple[list[dict[str, Any]], Any]:
    """Letters, newest first.

    Returns (rows, (created_at, id) where the next page begins, or None at the end).
    """
    limit = max(1, min(limit, PAGE_ROWS_MOST))
    with reading(db) as connection:
        rows = dead_letters.page(connection, meant, after_id, limit + 1)
        shown = rows[:limit]
        found = [brief(row, _graph(connection, row.digest)) for row in shown]
    return found, (shown[-1].created_at, shown[-1].id) if len(rows) > limit else None


def letter_view(db: Engine, letter_id: str, tenant_id: str | None) -> dict[str, Any]:
    """One letter with how each of its attempts ended. Raises: NotFound, also for another tenant's."""
    with reading(db) as connection:
        row = dead_letters.one(connection, letter_id, tenant_id) if is_id(letter_id) else None
        if row is None:
            raise NotFound("There is no such dead letter, or it is not yours.")
        return brief(row, _graph(connection, row.digest)) | {"history": _attempts(connection, row)}


def letters_of_job(connection: Connection, job_id: str) -> list[dict[str, Any]]:
    """The open letters of a job, newest first."""
    rows = dead_letters.page(connection, DeadLetterFilter(job_id=job_id), None, PAGE_ROWS_MOST)
    return [brief(row, _graph(connection, row.digest)) for row in rows]


def _graph(connection: Connection, digest: str) -> Graph | None:
    """None: this code cannot read it; one such letter does not take the others' page away."""
    try:
        return definitions.graph_of(connection, digest)
    except UnreadableDefinition:
        return None


def in_job(letter: dict[str, Any]) -> dict[str, Any]:
    """A letter as its job's own view shows it: what stays as it is while the job does."""
    shown = (
        "id",
        "step",
        "item",
        "kind",
        "why",
        "error",
        "attempts",
        "needs_person",
        "actions",
        "created_at",
    )
    return {name: letter[name] for name in shown} | {"links": {"self": letter["links"]["self"]}}


def brief(row: LetterOfJobRow, graph: Graph | None) -> dict[str, Any]:
    """A letter as lists show it."""
    here = f"{API}/dead-letters/{row.id}"
    job = job_links(row.job_id)
    return {
        "id": row.id,
        "job": row.job_id,
        "name": short_name(row.saga, row.job_id),
        "saga": row.saga,
        "step": row.step,
        "item": row.item,
        "kind": row.kind,
        "why": row.why,
        "error": row.error,
        "attempts": row.attempts,
        "needs_person": row.needs_person,
        "state": row.state,
        "actions": actions(row, graph),
        "redrive": None if row.redrive_at is None or row.state != LetterState.OPEN else _dated(row),
        "created_at": stamp(row.created_at),
        "closed_at": stamp(row.closed_at),
        "resolution": row.resolution,
        "resolved_by": row.resolved_by,
        "resolved_why": row.resolved_why,
        "resubmitted_as": row.retried_as,
        "payload": job["self"],
        "links": {
            "self": here,
            "job": job["self"],
            "why": job["why"],
            "history": job["history"],
            "effects": job["effects"],
        },
    }


def actions(row: LetterOfJobRow, graph: Graph | None) -> list[LetterAction]:
    """What a person can do about it now. `graph`: None where this code cannot read it."""
    if row.state != LetterState.OPEN:
        return []
    if not row.blocking:
        return list(when_ended(row.job_state))
    return [] if graph is None else decisions_about(row, graph)


def decisions_about(row: QuestionRow, graph: Graph) -> list[LetterAction]:
    """What a person can decide about a letter that holds its job."""
    past_pivot = graph.by_name[row.step].past_pivot
    return list(decisions(AboutLetter(row.why, row.kind, past_pivot)))


def _dated(row: DeadLetterRow) -> dict[str, Any]:
    return {"at": stamp(row.redrive_at), "by": row.redrive_by, "why": row.redrive_why}


def _attempts(connection: Connection, row: DeadLetterRow) -> list[dict[str, Any]]:
    h = history.c
    query = (
        select(h.at, h.event, h.attempt, h.fence, h.detail)
        .where(
            h.job_id == row.job_id,
            h.step == row.step,
            h.kind == row.kind,
            h.item == row.item,
            h.event.in_(ENDS_OF_ATTEMPTS),
        )
        .order_by(h.seq.desc())
        .limit(ATTEMPTS_SHOWN)
    )
    found = [
        {
            "at": stamp(one.at),
            "attempt": one.attempt,
            "fence": one.fence,
            "event": named(one.event),
            "error": (one.detail or {}).get("error"),
        }
        for one in connection.execute(query)
    ]
    return found[::-1]
