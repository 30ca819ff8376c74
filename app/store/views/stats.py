"""How things stand now, in numbers for programs: what is open, what waits in each lane, whom it
waits for.

Each statement is served by an index that finished rows have left, and looks at COUNTED_ROWS at
most: it costs the same over ten million finished jobs as over none. A number that reaches that
limit says "as many, or more".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select, text

from surefoot.app.clock import ago, now
from surefoot.app.errors import UnreadableDefinition
from surefoot.app.rules.states import JobState, Kind
from surefoot.app.rules.waits import WaitReason
from surefoot.app.saga.naming import queue_name
from surefoot.app.store.definitions import LIVE_WORKER_S, definition, order_of_definitions
from surefoot.app.store.statements import OPEN, QUEUED, RUNNING, WAITING, ZERO, in_text
from surefoot.app.store.tables import (
    dead_letters,
    definitions,
    jobs,
    leases,
    lock_waiters,
    operations,
    quarantine,
    workers,
)
from surefoot.app.store.tables import locks as lock_rows
from surefoot.app.store.views.health import RELAY

COUNTED_ROWS = 100_000
NEWEST_QUARANTINED = 100
OPEN_STATES = text(
    "state IN ('running','compensating')"
)  # as the index says it, or SQLite does not take it
ATTENTION = text("state = 'attention'")  # the same
o, j, d, w = operations.c, jobs.c, dead_letters.c, workers.c


@dataclass(frozen=True)
class Lane:
    """One queue of a lane (`east`, or `east.undo`).

    `oldest_s`: how long its oldest operation has been ready, seconds.

    `unattended`: how many of them have been ready past their time, and wait on.
    """

    queue: str
    depth: int
    oldest_s: float
    unattended: int = 0


@dataclass(frozen=True)
class Version:
    """A definition that open jobs are pinned to."""

    saga: str
    version: int
    digest: str
    jobs: int


@dataclass(frozen=True)
class Letters:
    """Open dead letters of a saga. `needs_person`: those that hold their job."""

    saga: str
    why: str
    needs_person: bool
    count: int


@dataclass(frozen=True)
class Lease:
    """The relay's. `left_s`: until it lapses, seconds; below 0 it has lapsed."""

    holder: str
    left_s: float


def open_versions(connection: Connection) -> list[Version]:
    """The definitions of jobs that are under way; those that wait for a person among them."""
    counts: dict[tuple[str, int, str], int] = {}
    for query in (_open_jobs(), _asked_jobs()):
        rows = query.subquery()
        grouped = select(rows.c.saga, rows.c.version, rows.c.digest, func.count()).group_by(
            rows.c.saga, rows.c.version, rows.c.digest
        )
        for saga, version, digest, count in connection.execute(grouped):
            counts[saga, version, digest] = counts.get((saga, version, digest), 0) + count
    return [Version(*key, count) for key, count in sorted(counts.items())]


@dataclass(frozen=True)
class Unread:
    """Operations of one step that wait for code that can read what is stored.

    `said`: what could not be read, of one of them.
    """

    saga: str
    step: str
    said: str
    count: int


def unread(connection: Connection) -> list[Unread]:
    """What waits because no code that came by could read its data, by saga and step."""
    rows = (
        select(o.step, o.error, o.job_id)
        .where(o.state == WAITING, o.wait_reason == WaitReason.UNREADABLE)
        .limit(COUNTED_ROWS)
        .subquery()
    )
    query = select(j.saga, rows.c.step, rows.c.error).join_from(rows, jobs, rows.c.job_id == j.id)
    found: dict[tuple[str, str], Unread] = {}
    for saga, step, error in connection.execute(query):
        before = found.get(
            (saga, step), Unread(saga, step, str((error or {}).get("message", "")), 0)
        )
        found[saga, step] = replace(before, count=before.count + 1)
    return [found[key] for key in sorted(found)]


def unreadable_definitions(connection: Connection) -> list[tuple[Version, str]]:
    """The definitions of open jobs that this code cannot read, each with what is wrong with it."""
    found: list[tuple[Version, str]] = []
    for version in open_versions(connection):
        try:
            definition(connection, version.digest)
        except UnreadableDefinition as error:
            found.append((version, error.message))
    return found


def stranded_versions(connection: Connection) -> list[Version]:
    """The definitions of open jobs that no live worker has."""
    pinned = open_versions(connection)
    has = {digest for worker in live_workers(connection) for digest in worker.digests}
    return [version for version in pinned if version.digest not in has]


def open_states(connection: Connection) -> dict[tuple[str, str], int]:
    """(saga, state) -> jobs, for every job that has not ended."""
    rows = _open_jobs().subquery()
    grouped = select(rows.c.saga, rows.c.state, func.count()).group_by(rows.c.saga, rows.c.state)
    found = {(saga, state): count for saga, state, count in connection.execute(grouped)}
    asked = _asked_jobs().subquery()
    for saga, count in connection.execute(
        select(asked.c.saga, func.count()).group_by(asked.c.saga)
    ):
        found[saga, "attention"] = count
    return found


@dataclass(frozen=True)
class Asked:
    """Jobs of a saga for which a person is asked.

    `unowned`: nobody has taken them on; `oldest_s`: since the first asked, seconds.
    """

    saga: str
    count: int
    unowned: int
    oldest_s: float


def attention(connection: Connection) -> list[Asked]:
    """Jobs in attention, by saga."""
    few = select(j.saga, j.owner, j.attention_since).where(ATTENTION).limit(COUNTED_ROWS).subquery()
    nobody = func.count() - func.count(few.c.owner)
    rows = connection.execute(
        select(few.c.saga, func.count(), nobody, func.min(few.c.attention_since), now()).group_by(
            few.c.saga
        )
    )
    return sorted(
        (
            Asked(saga, count, unowned, _age_s(oldest, at))
            for saga, count, unowned, oldest, at in rows
        ),
        key=lambda a: a.saga,
    )


def _open_jobs() -> Select[Any]:
    return (
        select(j.saga, j.version, j.digest, j.state)
        .where(OPEN_STATES)
        .order_by(j.id)
        .limit(COUNTED_ROWS)
    )


def _asked_jobs() -> Select[Any]:
    blocking = select(d.job_id).where(d.state == OPEN, d.blocking).distinct().limit(COUNTED_ROWS)
    return select(j.saga, j.version, j.digest).where(
        j.id.in_(blocking), j.state == JobState.ATTENTION
    )


def lanes(connection: Connection) -> list[Lane]:
    """What is ready and waits for a worker, by queue.

    Of more than COUNTED_ROWS the oldest are looked at.
    """
    found: dict[str, Lane] = {}
    for waits_on in (
        True,
        False,
    ):  # those that wait past their time have no clock any more: they are the oldest
        clock = o.claim_deadline_at.is_(None) if waits_on else o.claim_deadline_at.is_not(None)
        ready = select(o.lane, o.kind, o.ready_at).where(
            o.state == QUEUED, o.pending_dependencies == ZERO, clock
        )
        few = ready.order_by(o.claim_deadline_at).limit(COUNTED_ROWS).subquery()
        undo = (few.c.kind == in_text(Kind.UNDO)).label("undo")
        rows = connection.execute(
            select(few.c.lane, undo, func.count(), func.min(few.c.ready_at), now()).group_by(
                few.c.lane, undo
            )
        )
        for lane, is_undo, depth, oldest, at in rows:
            queue = queue_name(lane, Kind.UNDO if is_undo else Kind.ACTION)
            before = found.get(queue, Lane(queue, 0, 0.0))
            unattended = before.unattended + (depth if waits_on else 0)
            found[queue] = Lane(
                queue, before.depth + depth, max(before.oldest_s, _age_s(oldest, at)), unattended
            )
    return [found[queue] for queue in sorted(found)]


def _age_s(then: datetime | None, at: datetime) -> float:
    return max(0.0, (at - then).total_seconds()) if then is not None else 0.0


def letters(connection: Connection) -> list[Letters]:
    """Open dead letters, by saga and why."""
    found: list[Letters] = []
    for guard, needed in (
        (and_(d.state == OPEN, d.blocking), True),
        (and_(d.state == OPEN, ~d.blocking), False),
    ):
        rows = select(d.saga, d.why).where(guard).limit(COUNTED_ROWS).subquery()
        grouped = (
            select(rows.c.saga, rows.c.why, func.count())
            .group_by(rows.c.saga, rows.c.why)
            .order_by(rows.c.saga, rows.c.why)
        )
        found += [
            Letters(saga, why, needed, count) for saga, why, count in connection.execute(grouped)
        ]
    return found


@dataclass(frozen=True)
class Locks:
    """`held`: keys; `waiting`: places in their queues; `oldest_s`: of the longest wait, seconds."""

    held: int
    waiting: int
    oldest_s: float


def locks(connection: Connection) -> Locks:
    """The semantic locks of all jobs. Both tables hold open jobs only, by their primary key."""
    held = select(lock_rows.c.key).order_by(lock_rows.c.key).limit(COUNTED_ROWS).subquery()
    queued = (
        select(lock_waiters.c.since)
        .order_by(lock_waiters.c.key, lock_waiters.c.place)
        .limit(COUNTED_ROWS)
        .subquery()
    )
    keys = select(func.count()).select_from(held).scalar_subquery()
    row = connection.execute(
        select(keys, func.count(), func.min(queued.c.since), now()).select_from(queued)
    ).one()
    return Locks(row[0], row[1], _age_s(row[2], row[3]))


LEFT_ROWS = 20


def left_behind(connection: Connection, long_s: float) -> dict[str, list[str]]:
    """What lapsed or fell due more than `long_s` seconds ago and still is as it was: in words ->
    ids of jobs, the oldest first.
    """
    j = jobs.c
    asked = {
        "whose worker stopped answering": select(o.job_id)
        .where(o.state == RUNNING, o.lease_until < ago(long_s))
        .order_by(o.lease_until),
        "whose time to go on has come": select(o.job_id)
        .where(o.state == WAITING, o.due_at < ago(long_s))
        .order_by(o.due_at),
        "whose deadline is over": select(j.id)
        .where(j.deadline_at.is_not(None), j.state == RUNNING, j.deadline_at < ago(long_s))
        .order_by(j.deadline_at),
    }
    found = {
        what: list(dict.fromkeys(connection.scalars(query.limit(LEFT_ROWS))))
        for what, query in asked.items()
    }
    return {what: ids for what, ids in found.items() if ids}


def relay_lease(connection: Connection) -> Lease | None:
    """The relay's lease; None when there never was one."""
    row = connection.execute(
        select(leases.c.holder, leases.c.expires_at, now()).where(leases.c.name == RELAY)
    ).one_or_none()
    return Lease(row[0], (row[1] - row[2]).total_seconds()) if row is not None else None


def live_workers(connection: Connection) -> list[Any]:
    """(host, pid, concurrency, lanes, digests, consuming, children) of every worker that was seen
    lately.
    """
    columns = (w.host, w.pid, w.concurrency, w.lanes, w.digests, w.consuming, w.children)
    query = select(*columns).where(w.stopped_at.is_(None), w.seen_at > ago(LIVE_WORKER_S))
    return list(connection.execute(query.order_by(w.seen_at)))


def definitions_in_use(connection: Connection) -> list[Any]:
    """(digest, graph) of the current definition of each saga."""
    c = definitions.c
    place = (
        func.row_number().over(partition_by=c.saga, order_by=order_of_definitions()).label("place")
    )
    ranked = select(c.digest, c.graph, place).where(c.retired_at.is_(None)).subquery()
    return list(
        connection.execute(
            select(ranked.c.digest, ranked.c.graph)
            .where(ranked.c.place == 1)
            .order_by(ranked.c.digest)
        )
    )


def graphs_of(connection: Connection, digests: Iterable[str]) -> dict[str, Any]:
    """Graph by digest, of the definitions in the catalogue among these."""
    c = definitions.c
    return {
        row.digest: row.graph
        for row in connection.execute(
            select(c.digest, c.graph).where(c.digest.in_(sorted(set(digests))))
        )
    }


def quarantined_since(connection: Connection, seconds: float) -> tuple[int, str | None]:
    """How many of the newest NEWEST_QUARANTINED messages were put there in the last seconds, and
    the reason of the last.
    """
    q = quarantine.c
    newest = select(q.id, q.at, q.reason).order_by(q.id.desc()).limit(NEWEST_QUARANTINED).subquery()
    rows = connection.execute(
        select(newest.c.reason).where(newest.c.at > ago(seconds)).order_by(newest.c.id.desc())
    ).all()
    return len(rows), rows[0].reason if rows else None
