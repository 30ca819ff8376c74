"""What happened to a job, in order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, func, select

from surefoot.app.errors import NotFound
from surefoot.app.rules.events import named
from surefoot.app.secrecy import scrub_json
from surefoot.app.store import job_reads
from surefoot.app.store.hidden import secrets_of
from surefoot.app.store.rows.jobs import HistoryRow
from surefoot.app.store.session import reading
from surefoot.app.store.tables import history
from surefoot.app.store.views.names import stamp
from surefoot.app.store.views.snapshot import load

PAGE_ROWS = 200
SHOWN_WHOLE = 30  # events; of a longer history its two ends are shown
NEWEST, OLDEST = 20, 5


def history_view(
    db: Engine, job_id: str, tenant_id: str | None, *, after: int = 0, limit: int = PAGE_ROWS
) -> dict[str, Any]:
    """{"items": events after number `after`, "next": the number to go on after, or null}.

    Raises: NotFound.
    """
    with reading(db) as connection:
        load(connection, job_id, tenant_id)
        rows = job_reads.history_after(connection, job_id, after, limit + 1)
        secrets = secrets_of(connection, job_id)
    items = [_event(row, secrets) for row in rows[:limit]]
    return {"items": items, "next": rows[limit - 1].seq if len(rows) > limit else None}


def history_ends(db: Engine, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """{"newest": the last events, "oldest": the first ones, "between": how many are left out}.

    Both are newest first. A history of at most SHOWN_WHOLE events is all in `newest`. Raises:
    NotFound.
    """
    with reading(db) as connection:
        load(connection, job_id, tenant_id)
        total = _events(connection, job_id)
        if total <= SHOWN_WHOLE:
            return {
                "newest": _newest_first(connection, job_id, 1, total),
                "oldest": [],
                "between": 0,
            }
        return {
            "newest": _newest_first(connection, job_id, total - NEWEST + 1, total),
            "oldest": _newest_first(connection, job_id, 1, OLDEST),
            "between": total - NEWEST - OLDEST,
        }


def history_pages(db: Engine, job_id: str, tenant_id: str | None, page: int) -> dict[str, Any]:
    """{"items": a page of events, newest first, "total", "pages"}; page 1 has the newest.

    Raises: NotFound, also for a page that does not exist.
    """
    with reading(db) as connection:
        load(connection, job_id, tenant_id)
        total = _events(connection, job_id)
        pages = max(1, -(-total // PAGE_ROWS))
        if not 1 <= page <= pages:
            raise NotFound(f"This history has {pages} page{'s' if pages > 1 else ''}.")
        most = total - (page - 1) * PAGE_ROWS
        items = _newest_first(connection, job_id, max(1, most - PAGE_ROWS + 1), most)
    return {"items": items, "total": total, "pages": pages}


def _events(connection: Connection, job_id: str) -> int:
    """How many there are: they are numbered from 1 without gaps."""
    return (
        connection.execute(
            select(func.max(history.c.seq)).where(history.c.job_id == job_id)
        ).scalar_one()
        or 0
    )


def _newest_first(
    connection: Connection, job_id: str, least: int, most: int
) -> list[dict[str, Any]]:
    h = history.c
    query = (
        select(history).where(h.job_id == job_id, h.seq.between(least, most)).order_by(h.seq.desc())
    )
    secrets = secrets_of(connection, job_id)
    return [_event(row, secrets) for row in connection.execute(query)]


def _event(row: HistoryRow, secrets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": stamp(row.at),
        "event": named(row.event),
        "step": row.step,
        "kind": row.kind,
        "item": row.item or None,
        "attempt": row.attempt,
        "fence": row.fence,
        "actor": row.actor,
        "key_id": row.key_id,
        "detail": scrub_json(row.detail, secrets),
    }
