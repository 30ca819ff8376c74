"""Who has what to himself, and who waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select

from app.secrecy import scrub
from app.store.session import reading
from app.store.tables import jobs, lock_waiters, locks
from app.store.types import AnyRow
from app.store.views.hidden import secrets_of, secrets_of_each
from app.store.views.names import short_name, stamp

PAGE_KEYS = 50
QUEUE_SHOWN = 50  # of the jobs that wait for one key, the first so many are listed
held, queue, j = locks.c, lock_waiters.c, jobs.c


@dataclass(frozen=True)
class InLine:
    """A job's wait for its locks. `key` is in the way; `job`, the name of who has it or comes first, None if others' business.

    `held`: somebody has it, else it is about to be taken by who comes first; `before`: jobs that come before this one.
    """

    key: str
    job: str | None
    held: bool
    since: datetime
    until: datetime
    before: int


def in_line(connection: Connection, job_id: str, tenant_id: str | None) -> InLine | None:
    """None: it waits for no lock. Only jobs of this tenant (None: of any) are named."""
    mine = list(connection.execute(select(queue.key, queue.place, queue.since, queue.until).where(queue.job_id == job_id)))
    if not mine:
        return None
    keys, place = [row.key for row in mine], mine[0].place
    before = and_(queue.key.in_(keys), queue.place < place)
    count = connection.execute(select(func.count(queue.job_id.distinct())).where(before)).scalar_one()
    who = (j.id, j.saga, j.tenant_id)
    holds = select(held.key, *who).join_from(locks, jobs, held.job_id == j.id).where(held.key.in_(keys)).order_by(held.key).limit(1)
    comes = select(queue.key, *who).join_from(lock_waiters, jobs, queue.job_id == j.id).where(before).order_by(queue.place).limit(1)
    holder = connection.execute(holds).one_or_none()
    ahead = holder or connection.execute(comes).one_or_none()
    name = short_name(ahead.saga, ahead.id) if ahead is not None and tenant_id in (None, ahead.tenant_id) else None
    key = scrub(ahead.key if ahead is not None else keys[0], secrets_of(connection, job_id))
    return InLine(key, name, holder is not None, mine[0].since, mine[0].until, count)


def locks_view(db: Engine, tenant_id: str | None, *, after: str = "", limit: int = PAGE_KEYS) -> dict[str, Any]:
    """{"items": one for each key that this tenant's jobs (None: anybody's) hold or wait for, "next": key | None}, by key.

    Jobs of others are told as null: that they are there cannot be hidden from who waits for them.
    """
    with reading(db) as connection:
        keys = _page(connection, tenant_id, after, limit + 1)
        shown = keys[:limit]
        who = (j.id, j.saga, j.state, j.tenant_id)
        held_by = {
            row.key: row
            for row in connection.execute(
                select(held.key, held.taken_at, *who).join_from(locks, jobs, held.job_id == j.id).where(held.key.in_(shown))
            )
        }
        waiting: dict[str, list[AnyRow]] = {key: [] for key in shown}
        rank = func.row_number().over(partition_by=queue.key, order_by=queue.place).label("rank")
        ranked = select(queue.key, queue.job_id, queue.since, queue.until, rank).where(queue.key.in_(shown)).subquery()
        rows = (
            select(ranked.c.key, ranked.c.since, ranked.c.until, *who)
            .join_from(ranked, jobs, ranked.c.job_id == j.id)
            .where(ranked.c.rank <= QUEUE_SHOWN)
            .order_by(ranked.c.key, ranked.c.rank)
        )
        for row in connection.execute(rows):
            waiting[row.key].append(row)
        counted = select(queue.key, func.count()).where(queue.key.in_(shown)).group_by(queue.key)
        counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(counted)}
        named = {key: [row.id for row in (*waiting[key], *filter(None, [held_by.get(key)]))] for key in shown}
        secrets = secrets_of_each(connection, {job_id for ids in named.values() for job_id in ids})
    items = [
        {
            "key": scrub(key, {text for job_id in named[key] for text in secrets.get(job_id, ())}),
            "held_by": _job(held_by[key], tenant_id) if key in held_by else None,
            "held": key in held_by,
            "since": stamp(held_by[key].taken_at) if key in held_by else None,
            "waiting": counts.get(key, 0),
            "queue": [{"job": _job(row, tenant_id), "since": stamp(row.since), "gives_up_at": stamp(row.until)} for row in waiting[key]],
        }
        for key in shown
    ]
    return {"items": items, "next": shown[-1] if len(keys) > limit else None}


def _page(connection: Connection, tenant_id: str | None, after: str, limit: int) -> list[str]:
    have = select(held.key.label("key")).where(held.key > after)
    want = select(queue.key.label("key")).where(queue.key > after)
    if tenant_id is not None:
        have = have.join_from(locks, jobs, held.job_id == j.id).where(j.tenant_id == tenant_id)
        want = want.join_from(lock_waiters, jobs, queue.job_id == j.id).where(j.tenant_id == tenant_id)
    both = have.union(want).subquery()
    return list(connection.scalars(select(both.c.key).order_by(both.c.key).limit(limit)))


def _job(row: AnyRow, tenant_id: str | None) -> dict[str, Any] | None:
    if tenant_id not in (None, row.tenant_id):
        return None
    return {"id": row.id, "name": short_name(row.saga, row.id), "saga": row.saga, "state": row.state}
