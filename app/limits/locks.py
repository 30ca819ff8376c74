"""Taking, waiting in line, leaving and handing on.

Each needs its own job's lock, and the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from surefoot.app.store import locks
from surefoot.app.store.rows.jobs import JobId
from surefoot.app.store.rows.operations import MessageRow


@dataclass(frozen=True)
class Taken:
    """The job has all of its keys. `since`: when it had come into the queue, if it had to wait."""

    since: datetime | None = None


@dataclass(frozen=True)
class Blocked:
    """The job has none of its keys.

    `key` is in the way, with `job_id` (of `tenant_id`): its holder, or who comes first.

    `until`: when the wait is given up, None if the job does not wait; `over`: that is now;
    `came_now`: it was not in line before.
    """

    key: str
    job_id: str
    tenant_id: str
    until: datetime | None = None
    over: bool = False
    came_now: bool = False


def take(
    tx: Connection, job: JobId, keys: Sequence[str], *, wait_s: float | None
) -> Taken | Blocked:
    """Take all of these keys (as they are `spelled`) or none, in turn. A job that waits keeps the
    keys and the place it came with.

    `job`: its id and tenant_id; `wait_s`: seconds that it waits, from when it first came; None: it
    does not stand in line.
    """
    job_id = job.id
    if locks.keys_held(tx, job_id):
        return Taken()
    places = locks.places_of(tx, job_id)
    wanted = [row.key for row in places] or list(keys)
    other = (
        locks.other_spelling(wanted, job.tenant_id)
        if any(locks.is_marked(key) for key in keys)
        else []
    )
    locks.enter(tx, [*wanted, *other])
    ahead = locks.holder_of(tx, wanted) or locks.next_in_line(
        tx, job_id, wanted, places[0].place if places else None
    )
    ahead = ahead or locks.before_the_mark(tx, job, other)
    if ahead is None:
        if places:
            locks.leave_line(tx, job_id)
        locks.hold(tx, job_id, wanted)
        return Taken(places[0].since if places else None)
    came_now = not places
    if wait_s is None:
        return Blocked(locks.shown(ahead.key), ahead.job_id, ahead.tenant_id)
    if came_now:
        locks.stand_in_line(tx, job_id, wanted, wait_s)
        places = locks.places_of(tx, job_id)
    return Blocked(
        locks.shown(ahead.key),
        ahead.job_id,
        ahead.tenant_id,
        places[0].until,
        bool(places[0].over),
        came_now,
    )


def leave(tx: Connection, job: JobId) -> list[MessageRow]:
    """A job (id, tenant_id) waits no longer. Returns: what was woken of others (id, job_id, saga,
    step, kind, item, lane).
    """
    return _free(tx, job, [row.key for row in locks.places_of(tx, job.id)])


def release(tx: Connection, job: JobId) -> list[MessageRow]:
    """A job (id, tenant_id) has ended: what it held goes to the next job in the queue.

    Returns: as `leave`.
    """
    return _free(
        tx, job, [*locks.keys_held(tx, job.id), *(row.key for row in locks.places_of(tx, job.id))]
    )


def _free(tx: Connection, job: JobId, keys: Sequence[str]) -> list[MessageRow]:
    """A job that waits holds nothing, and one that holds does not wait: so both are given up at
    once.
    """
    if not keys:
        return []
    locks.enter(tx, keys)
    locks.let_go(tx, job.id)
    locks.leave_line(tx, job.id)
    return locks.wake_first(tx, [*keys, *locks.other_spelling(keys, job.tenant_id)])
