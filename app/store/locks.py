"""Semantic locks and the queues for them: reads and writes.

The caller holds its job's lock and, past `enter`, the keys' mutexes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from sqlalchemy import Connection, delete, exists, func, insert, select, text, update

from surefoot.app.clock import after, now
from surefoot.app.rules.states import OpState
from surefoot.app.rules.waits import WaitReason
from surefoot.app.saga.locking import Shared
from surefoot.app.saga.naming import DEFAULT_TENANT
from surefoot.app.store.rows.jobs import JobId
from surefoot.app.store.rows.locks import AheadRow, PlaceRow
from surefoot.app.store.rows.operations import MessageRow
from surefoot.app.store.session import dialect_is_sqlite
from surefoot.app.store.statements import READY_NOW
from surefoot.app.store.tables import jobs, lock_waiters, locks, operations

MUTEX_SPACE = 0x10CC  # keeps our advisory locks apart from others' in the same database
held, queue, o = locks.c, lock_waiters.c, operations.c


# --- how a key is spelled -------------------------------------------------------------------------
# The table's key says whose record it is: behind a character that no key can have stands the
# tenant's id, or a star for all. Keys of the
# default tenant are spelled as every key was before there were marks, so releases of both kinds
# keep each other out there. Of any other
# tenant a job that was accepted before may have the bare key: those that come later ask for both
# spellings (`before_the_mark`).
MARK, EVERYBODYS = "\x1f", "\x1f*"


def spelled(key: str, tenant: str, tenant_id: str) -> str:
    """A key as it stands in the tables."""
    if isinstance(key, Shared):
        return f"{key}{EVERYBODYS}"
    return str(key) if tenant == DEFAULT_TENANT else f"{key}{MARK}{tenant_id}"


def shown(key: str) -> str:
    """A key of the tables as its saga named it."""
    return key.partition(MARK)[0]


def is_shared(key: str) -> bool:
    return key.endswith(EVERYBODYS)


def is_marked(key: str) -> bool:
    """Whether a key of the tables is that of a tenant other than the default one."""
    return MARK in key and not is_shared(key)


def other_spelling(keys: Collection[str], tenant_id: str) -> list[str]:
    """What jobs of this tenant may have in place of these keys: without the mark, or with it."""
    return [
        shown(key) if is_marked(key) else f"{key}{MARK}{tenant_id}"
        for key in keys
        if not is_shared(key)
    ]


def enter(tx: Connection, keys: Collection[str]) -> None:
    """From here to its end this transaction alone decides about these keys.

    SQLite has one writer at a time anyway.

    Two keys may share a mutex, which costs a wait and no more. Taken in the order of their numbers:
    no two wait for each other.
    """
    if not dialect_is_sqlite(tx):
        for number in sorted({_number(key) for key in keys}):
            tx.execute(
                text("SELECT pg_advisory_xact_lock(:space, :number)"),
                {"space": MUTEX_SPACE, "number": number},
            )


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big", signed=True)


# --- one job's own --------------------------------------------------------------------------------
def keys_held(tx: Connection, job_id: str) -> list[str]:
    return list(tx.scalars(select(held.key).where(held.job_id == job_id).order_by(held.key)))


def places_of(tx: Connection, job_id: str) -> list[PlaceRow]:
    """Where a job stands in line: (key, place, since, until, over), by key."""
    over = (queue.until <= now()).label("over")
    return list(
        tx.execute(
            select(queue.key, queue.place, queue.since, queue.until, over)
            .where(queue.job_id == job_id)
            .order_by(queue.key)
        )
    )


def hold(tx: Connection, job_id: str, keys: Collection[str]) -> None:
    """free -> held. A key that somebody holds is refused by the table itself."""
    tx.execute(insert(locks), [{"key": key, "job_id": job_id} for key in keys])


def stand_in_line(tx: Connection, job_id: str, keys: Collection[str], wait_s: float) -> None:
    """The last place in the queue of each key, the same in all of them: a job that shares a key
    with others is behind them in all.
    """
    last = tx.execute(select(func.max(queue.place)).where(queue.key.in_(keys))).scalar() or 0
    rows = [{"key": key, "place": last + 1, "job_id": job_id} for key in keys]
    tx.execute(insert(lock_waiters).values(since=now(), until=after(wait_s)), rows)


def leave_line(tx: Connection, job_id: str) -> None:
    tx.execute(delete(lock_waiters).where(queue.job_id == job_id))


def let_go(tx: Connection, job_id: str) -> None:
    """held -> free."""
    tx.execute(delete(locks).where(held.job_id == job_id))


# --- the others -----------------------------------------------------------------------------------
def holder_of(tx: Connection, keys: Collection[str]) -> AheadRow | None:
    """The holder of one of these keys: (key, job_id, tenant_id)."""
    query = select(held.key, jobs.c.id.label("job_id"), jobs.c.tenant_id).join_from(
        locks, jobs, held.job_id == jobs.c.id
    )
    return tx.execute(query.where(held.key.in_(keys)).order_by(held.key).limit(1)).one_or_none()


def next_in_line(
    tx: Connection, job_id: str, keys: Collection[str], place: int | None
) -> AheadRow | None:
    """The first in the queue of one of these keys before this job (before `place`; None: it would
    be the last): as `holder_of`.
    """
    before = queue.key.in_(keys) & (queue.job_id != job_id)
    if place is not None:
        before &= queue.place < place
    query = select(queue.key, jobs.c.id.label("job_id"), jobs.c.tenant_id).join_from(
        lock_waiters, jobs, queue.job_id == jobs.c.id
    )
    return tx.execute(query.where(before).order_by(queue.place, queue.key).limit(1)).one_or_none()


def before_the_mark(tx: Connection, job: JobId, other: Collection[str]) -> AheadRow | None:
    """Which other job of the same tenant has one of these other spellings, or waited for it before
    there were marks: as `holder_of`.
    """
    if not other:
        return None
    mine = (jobs.c.tenant_id == job.tenant_id, jobs.c.id != job.id)
    who = (jobs.c.id.label("job_id"), jobs.c.tenant_id)
    holds = (
        select(held.key, *who)
        .join_from(locks, jobs, held.job_id == jobs.c.id)
        .where(held.key.in_(other), *mine)
    )
    waits = select(queue.key, *who).join_from(lock_waiters, jobs, queue.job_id == jobs.c.id)
    waits = waits.where(
        queue.key.in_([key for key in other if not is_marked(key)]), *mine
    ).order_by(queue.place)
    return tx.execute(holds.limit(1)).one_or_none() or tx.execute(waits.limit(1)).one_or_none()


def wake_first(tx: Connection, keys: Collection[str]) -> list[MessageRow]:
    """waiting -> queued for the first job in the queue of a free key. Never waits for a row.

    The first of one key may still have to wait for another key of its own: then it parks again.
    Whether it must cannot be told from here, where that key's mutex is not held: two holders that
    end at once would each leave it to the other.
    Returns: what was woken (id, job_id, saga, step, kind, item, lane).
    """
    other = lock_waiters.alias("other")
    earlier = exists().where(other.c.key == queue.key, other.c.place < queue.place)
    taken = exists().where(held.key == queue.key)
    first = list(
        tx.scalars(select(queue.job_id).where(queue.key.in_(keys), ~earlier, ~taken).distinct())
    )
    if not first:
        return []
    parked = (o.job_id.in_(first), o.state == OpState.WAITING, o.wait_reason == WaitReason.LOCK)
    free = select(o.id).where(*parked).with_for_update(skip_locked=True)
    woken = list(
        tx.scalars(
            update(operations)
            .where(o.id.in_(free.scalar_subquery()), *parked)
            .values(**READY_NOW, claim_deadline_at=after(o.queue_s))
            .returning(o.id)
        )
    )
    if not woken:
        return []
    found = select(o.id, o.job_id, o.step, o.kind, o.item, o.lane, jobs.c.saga).join_from(
        operations, jobs, o.job_id == jobs.c.id
    )
    return list(tx.execute(found.where(o.id.in_(woken))))
