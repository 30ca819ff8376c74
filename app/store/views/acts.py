"""What people did, as people see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from surefoot.app.store import acts
from surefoot.app.store.acts import Asked
from surefoot.app.store.rows.records import ActRow
from surefoot.app.store.session import reading
from surefoot.app.store.views.names import API, stamp

PAGE_ROWS, PAGE_ROWS_MOST = 50, 200
Edge = tuple[datetime, str]  # (at, id) of the last row of a page


def acts_view(
    db: Engine, asked: Asked, *, after: Edge | None = None, limit: int = PAGE_ROWS
) -> tuple[list[dict[str, Any]], Edge | None]:
    """Acts, newest first. Returns (rows, where the next page begins, or None at the end)."""
    limit = max(1, min(limit, PAGE_ROWS_MOST))
    with reading(db) as connection:
        rows = acts.page(connection, asked, after, limit + 1)
    shown = rows[:limit]
    return [_brief(row) for row in shown], (shown[-1].at, shown[-1].id) if len(
        rows
    ) > limit else None


def _brief(row: ActRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": stamp(row.at),
        "actor": row.actor,
        "key_id": row.key_id,
        "act": row.act,
        "object": {"kind": row.object_kind, "id": row.object_id},
        "job": row.job_id,
        "part_of": row.part_of,
        "reason": row.reason,
        "details": row.details,
        "links": {"job": f"{API}/jobs/{row.job_id}" if row.job_id is not None else None},
    }
