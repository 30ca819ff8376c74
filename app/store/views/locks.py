"""Which jobs hold locks, and which wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, or_, select

from surefoot.app.errors import RequestError
from surefoot.app.secrecy import scrub
from surefoot.app.store.hidden import secrets_of, secrets_of_each
from surefoot.app.store.ids import is_id
from surefoot.app.store.locks import is_shared, other_spelling, shown
from surefoot.app.store.rows.locks import HolderRow, InvolvedJobRow, KeyJobRow, WaiterRow
from surefoot.app.store.session import reading
from surefoot.app.store.statements import NO_ID
from surefoot.app.store.tables import jobs, lock_waiters, locks, tenants
from surefoot.app.store.views.names import short_name, stamp

PAGE_KEYS = 50
PLACE_DIGITS = 9
QUEUE_SHOWN = 50  # of the jobs that wait for one key, the first so many are listed
held, queue, j = locks.c, lock_waiters.c, jobs.c


@dataclass(frozen=True)
class InLine:
    """A job's wait for its locks.

    `key` is in the way; `job`, the name of who has it or comes first, None if others' business.

    `held`: somebody has it, else it is about to be taken by who comes first; `before`: jobs that
    come before this one.
    """

    key: str
    job: str | None
    held: bool
    since: datetime
    until: datetime
    before: int


def in_line(connection: Connection, job_id: str, tenant_id: str | None) -> InLine | None:
    """None: it waits for no lock. Only jobs of this tenant (None: of any) are named."""
    mine = list(
        connection.execute(
            select(queue.key, queue.place, queue.since, queue.until).where(queue.job_id == job_id)
        )
    )
    if not mine:
        return None
    keys, place = [row.key for row in mine], mine[0].place
    whose = connection.execute(select(j.tenant_id).where(j.id == job_id)).scalar_one()
    before = and_(queue.key.in_(keys), queue.place < place)
    count = connection.execute(
        select(func.count(queue.job_id.distinct())).where(before)
    ).scalar_one()
    who = (j.id, j.saga, j.tenant_id)
    in_the_way = or_(
        held.key.in_(keys), and_(held.key.in_(other_spelling(keys, whose)), j.tenant_id == whose)
    )
    holds = (
        select(held.key, *who)
        .join_from(locks, jobs, held.job_id == j.id)
        .where(in_the_way)
        .order_by(held.key)
        .limit(1)
    )
    comes = (
        select(queue.key, *who)
        .join_from(lock_waiters, jobs, queue.job_id == j.id)
        .where(before)
        .order_by(queue.place)
        .limit(1)
    )
    holder = connection.execute(holds).one_or_none()
    ahead = holder or connection.execute(comes).one_or_none()
    name = (
        short_name(ahead.saga, ahead.id)
        if ahead is not None and tenant_id in (None, ahead.tenant_id)
        else None
    )
    key = scrub(shown(ahead.key if ahead is not None else keys[0]), secrets_of(connection, job_id))
    return InLine(key, name, holder is not None, mine[0].since, mine[0].until, count)


def locks_view(
    db: Engine, tenant_id: str | None, *, after: str = "", limit: int = PAGE_KEYS
) -> dict[str, Any]:
    """{"items": one for each key that this tenant's jobs (None: anybody's) hold or wait for,
    "next": where to go on | None}.

    The key whose first job was accepted first comes first, and `next` names that job, since a key
    can have a secret in it. Jobs of other tenants (of a shared key) are told as null: that they are
    there cannot be hidden from a job that waits for them.
    Raises: RequestError when `after` is not such a `next`.
    """
    place = _place(after)
    with reading(db) as connection:
        found = _page(connection, tenant_id, place, limit + 1)
        page = [row.key for row in found[:limit]]
        held_by = {row.key: row for row in _holders(connection, page)}
        waiting: dict[str, list[WaiterRow]] = {key: [] for key in page}
        for row in _waiters(connection, page):
            waiting[row.key].append(row)
        counted = select(queue.key, func.count()).where(queue.key.in_(page)).group_by(queue.key)
        counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(counted)}
        involved = {key: [*filter(None, [held_by.get(key)]), *waiting[key]] for key in page}
        named = {key: [row.id for row in rows] for key, rows in involved.items()}
        secrets = secrets_of_each(connection, {job_id for ids in named.values() for job_id in ids})
    items = [
        {
            "key": scrub(
                shown(key), {text for job_id in named[key] for text in secrets.get(job_id, ())}
            ),
            "tenant": None
            if is_shared(key)
            else next(
                (row.tenant for row in involved[key] if tenant_id in (None, row.tenant_id)), None
            ),
            "held_by": _job(held_by[key], tenant_id) if key in held_by else None,
            "held": key in held_by,
            "since": stamp(held_by[key].taken_at) if key in held_by else None,
            "waiting": counts.get(key, 0),
            "queue": [
                {
                    "job": _job(row, tenant_id),
                    "since": stamp(row.since),
                    "gives_up_at": stamp(row.until),
                }
                for row in waiting[key]
            ],
        }
        for key in page
    ]
    return {"items": items, "next": _next(found[:limit], place) if len(found) > limit else None}


_WHO = (j.id, j.saga, j.state, j.tenant_id, tenants.c.name.label("tenant"))


def _holders(connection: Connection, keys: Sequence[str]) -> list[HolderRow]:
    query = (
        select(held.key, held.taken_at, *_WHO)
        .join_from(locks, jobs, held.job_id == j.id)
        .join(tenants, tenants.c.id == j.tenant_id)
        .where(held.key.in_(keys))
    )
    return list(connection.execute(query))


def _waiters(connection: Connection, keys: Sequence[str]) -> list[WaiterRow]:
    """The first QUEUE_SHOWN of each key, in their order."""
    rank = func.row_number().over(partition_by=queue.key, order_by=queue.place).label("rank")
    ranked = (
        select(queue.key, queue.job_id, queue.since, queue.until, rank)
        .where(queue.key.in_(keys))
        .subquery()
    )
    query = (
        select(ranked.c.key, ranked.c.since, ranked.c.until, *_WHO)
        .join_from(ranked, jobs, ranked.c.job_id == j.id)
        .join(tenants, tenants.c.id == j.tenant_id)
        .where(ranked.c.rank <= QUEUE_SHOWN)
        .order_by(ranked.c.key, ranked.c.rank)
    )
    return list(connection.execute(query))


def _page(
    connection: Connection, tenant_id: str | None, after: tuple[str, int], limit: int
) -> list[KeyJobRow]:
    """(key, job_id): the keys behind a place, each with the first job that holds it or waits for
    it.
    """
    job_id, behind = after
    have, want = (
        select(held.key, held.job_id.label("job_id")),
        select(queue.key, queue.job_id.label("job_id")),
    )
    if tenant_id is not None:
        have = have.join_from(locks, jobs, held.job_id == j.id).where(j.tenant_id == tenant_id)
        want = want.join_from(lock_waiters, jobs, queue.job_id == j.id).where(
            j.tenant_id == tenant_id
        )
    both = have.union_all(want).subquery()
    first = func.row_number().over(partition_by=both.c.key, order_by=both.c.job_id).label("first")
    ranked = select(both.c.key, both.c.job_id, first).subquery()
    query = select(ranked.c.key, ranked.c.job_id).where(
        ranked.c.first == 1, ranked.c.job_id >= job_id
    )
    rows: list[KeyJobRow] = list(
        connection.execute(query.order_by(ranked.c.job_id, ranked.c.key).limit(limit + behind))
    )
    seen = min(behind, sum(row.job_id == job_id for row in rows))
    return rows[seen : seen + limit]


def _next(page: Sequence[KeyJobRow], after: tuple[str, int]) -> str:
    """The place behind a page: its last job, and how many keys of that job come before. No key, for
    it can have a secret in it.
    """
    last = page[-1].job_id
    before = after[1] if after[0] == last else 0
    return f"{last}:{before + sum(row.job_id == last for row in page)}"


def _place(after: str) -> tuple[str, int]:
    job_id, _, behind = after.partition(":")
    if not after:
        return NO_ID, 0
    if not is_id(job_id) or not (
        behind.isascii() and behind.isdigit() and len(behind) < PLACE_DIGITS
    ):
        raise RequestError(
            "This is not a place in the list of locks: take it from `next` of the page before."
        )
    return job_id, int(behind)


def _job(row: InvolvedJobRow, tenant_id: str | None) -> dict[str, Any] | None:
    if tenant_id not in (None, row.tenant_id):
        return None
    return {
        "id": row.id,
        "name": short_name(row.saga, row.id),
        "saga": row.saga,
        "state": row.state,
    }
