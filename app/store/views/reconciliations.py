"""What reconciliation found, as people see it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from surefoot.app.errors import NotFound
from surefoot.app.rules.findings import named, shown
from surefoot.app.store import reconciliations
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.findings import FindingRow
from surefoot.app.store.session import reading
from surefoot.app.store.views.names import job_links, short_name, stamp

PAGE_ROWS = 50
PAGE_ROWS_MOST = 200


def reconciliations_view(
    db: Engine,
    tenant_id: str | None,
    *,
    only_open: bool = True,
    after_id: str | None = None,
    limit: int = PAGE_ROWS,
) -> tuple[list[dict[str, Any]], Any]:
    """Findings, newest first.

    Returns (rows, (at, id) where the next page begins, or None at the end).
    """
    limit = max(1, min(limit, PAGE_ROWS_MOST))
    with reading(db) as connection:
        rows = reconciliations.page(
            connection, tenant_id, only_open=only_open, after_id=after_id, limit=limit + 1
        )
    shown = rows[:limit]
    return [brief(row) for row in shown], (shown[-1].at, shown[-1].id) if len(
        rows
    ) > limit else None


def finding_view(db: Engine, finding_id: str, tenant_id: str | None) -> dict[str, Any]:
    """One finding. Raises: NotFound, also for one of another tenant."""
    with reading(db) as connection:
        row = reconciliations.one(connection, finding_id) if is_id(finding_id) else None
    if row is None or tenant_id not in (None, row.tenant_id):
        raise NotFound("There is no such finding.")
    return brief(row)


def brief(row: FindingRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": stamp(row.at),
        "job": row.job_id,
        "name": short_name(row.saga, row.job_id) if row.job_id is not None else None,
        "saga": row.saga,
        "step": row.step,
        "item": row.item,
        "service": row.service,
        "key": row.key,
        "finding": shown(row.finding),
        "action": named(row.action),
        "detail": row.detail,
        "actor": row.actor,
        "closed_at": stamp(row.closed_at),
        "closed_by": row.closed_by,
        "closed_why": row.closed_why,
        "links": {"job": job_links(row.job_id)["self"] if row.job_id is not None else None},
    }
