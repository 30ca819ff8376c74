"""What happened to a job, in order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from app.secrecy import scrub_json
from app.store.session import reading
from app.store.tables import history
from app.store.views.hidden import secrets_of
from app.store.views.names import stamp
from app.store.views.snapshot import load

PAGE_ROWS = 200


def history_view(db: Engine, job_id: str, tenant_id: str | None, *, after: int = 0, limit: int = PAGE_ROWS) -> dict[str, Any]:
    """{"items": events after number `after`, "next": the number to go on after, or null}. Raises: NotFound."""
    h = history.c
    with reading(db) as connection:
        load(connection, job_id, tenant_id)
        rows = connection.execute(select(history).where(h.job_id == job_id, h.seq > after).order_by(h.seq).limit(limit + 1)).all()
        secrets = secrets_of(connection, job_id)
    items = [
        {
            "seq": row.seq,
            "at": stamp(row.at),
            "event": row.event,
            "step": row.step,
            "kind": row.kind,
            "item": row.item or None,
            "attempt": row.attempt,
            "fence": row.fence,
            "actor": row.actor,
            "detail": scrub_json(row.detail, secrets),
        }
        for row in rows[:limit]
    ]
    return {"items": items, "next": rows[limit - 1].seq if len(rows) > limit else None}
