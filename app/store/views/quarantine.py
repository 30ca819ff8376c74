"""Messages nobody can run, as operators see them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select, update

from surefoot.app.clock import now
from surefoot.app.errors import Conflict, NotFound
from surefoot.app.store import acts
from surefoot.app.store.acts import Act
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.records import QuarantineRow
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.tables import quarantine
from surefoot.app.store.views.names import API, stamp

PAGE_ROWS, PAGE_ROWS_MOST = 50, 200
COUNTED_ROWS = 100_000
q = quarantine.c


def quarantine_view(
    db: Engine,
    tenant_id: str | None,
    *,
    discarded: bool = False,
    after_id: str | None = None,
    limit: int = PAGE_ROWS,
) -> tuple[list[dict[str, Any]], Any]:
    """Messages that name a job of this tenant (None: all), newest first, without their bodies.

    Returns (rows, (at, id) where the next page begins, or None)."""
    limit = max(1, min(limit, PAGE_ROWS_MOST))
    with reading(db) as connection:
        rows = page(connection, tenant_id, discarded=discarded, after_id=after_id, limit=limit + 1)
    return [_brief(row) for row in rows[:limit]], (rows[limit - 1].at, rows[limit - 1].id) if len(
        rows
    ) > limit else None


def page(
    connection: Connection,
    tenant_id: str | None,
    *,
    discarded: bool,
    after_id: str | None,
    limit: int,
) -> list[QuarantineRow]:
    """Messages of this tenant (None: all), newest first, older than `after_id`."""
    guards: list[ColumnElement[bool]] = [
        q.discarded_at.is_not(None) if discarded else q.discarded_at.is_(None)
    ]
    guards += _of(tenant_id)
    if after_id is not None:
        guards.append(q.id < after_id)
    order = (q.id.desc(),) if tenant_id is None else (q.tenant_id.desc(), q.id.desc())
    return list(connection.execute(select(quarantine).where(*guards).order_by(*order).limit(limit)))


def _of(tenant_id: str | None) -> list[ColumnElement[bool]]:
    return [] if tenant_id is None else [q.tenant_id == tenant_id]


def message_view(db: Engine, message_id: str, tenant_id: str | None) -> dict[str, Any]:
    """One message, with its headers and the beginning of its body. Raises: NotFound; so it is for
    another tenant (None: for nobody).
    """
    query = select(quarantine).where(*_of(tenant_id))
    with reading(db) as connection:
        row = (
            connection.execute(query.where(q.id == message_id)).one_or_none()
            if is_id(message_id)
            else None
        )
    if row is None:
        raise NotFound("There is no such message in quarantine.")
    return _brief(row) | {"headers": row.headers, "body": row.body}


def discard_message(
    db: Engine, message_id: str, tenant_id: str | None, actor: str, why: str
) -> None:
    """Somebody has looked at it: it leaves the list and stays on record.

    Raises: NotFound; Conflict when it has left already.
    """
    message_view(db, message_id, tenant_id)
    statement = update(quarantine).where(
        q.id == message_id, q.discarded_at.is_(None), *_of(tenant_id)
    )

    def work(tx: Connection) -> bool:
        said = statement.values(discarded_at=now(), discarded_by=actor, discarded_why=why)
        row = tx.execute(said.returning(q.tenant_id)).one_or_none()
        if row is not None:
            acts.note(tx, actor, Act("discard", "message", message_id, row.tenant_id, reason=why))
        return row is not None

    if not transaction(db, work):
        raise Conflict("the message was discarded already")


def kept(connection: Connection) -> int:
    """How many messages are in quarantine; COUNTED_ROWS stands for as many or more."""
    few = select(q.id).where(q.discarded_at.is_(None)).limit(COUNTED_ROWS).subquery()
    return int(connection.execute(select(func.count()).select_from(few)).scalar_one())


def _brief(row: QuarantineRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": stamp(row.at),
        "reason": row.reason,
        "queue": row.queue,
        "size": row.size,
        "discarded_at": stamp(row.discarded_at),
        "discarded_by": row.discarded_by,
        "discarded_why": row.discarded_why,
        "links": {"self": f"{API}/quarantine/{row.id}"},
    }
