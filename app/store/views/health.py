"""Whether the parts behind the store are alive, in numbers that need no key to be seen."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, func, select

from app.clock import ago, now
from app.store.queries import LIVE_WORKER_S, NOTHING, QUEUED
from app.store.session import reading
from app.store.tables import leases, operations, workers

RELAY = "relay"  # the name of the relay's lease


def health_view(db: Engine) -> dict[str, Any]:
    """{"relay": "ok" | "absent", "workers": number of live ones}."""
    w = workers.c
    relay = select(leases.c.fence).where(leases.c.name == RELAY, leases.c.expires_at > now())
    live = select(func.count()).select_from(workers).where(w.stopped_at.is_(None), w.seen_at > ago(LIVE_WORKER_S))
    with reading(db) as connection:
        held = connection.execute(relay).first() is not None
        return {"relay": "ok" if held else "absent", "workers": connection.execute(live).scalar_one()}


def oldest_ready_s(db: Engine) -> float:
    """How long the operation that is nearest to its queue time-out, or past it, has been ready, seconds; 0 where none is.

    One row of the index of what is ready: a backlog costs no more than an empty queue.
    """
    with reading(db) as connection:
        return max(oldest_s(connection, past=True), oldest_s(connection, past=False))


def oldest_s(connection: Connection, *, past: bool) -> float:
    """`past`: of those that wait on past their time, which have no clock any more."""
    o = operations.c
    clock = o.queue_by.is_(None) if past else o.queue_by.is_not(None)
    ready = select(o.ready_at, now()).where(o.state == QUEUED, o.missing == NOTHING, clock).order_by(o.queue_by).limit(1)
    row = connection.execute(ready).one_or_none()
    return max(0.0, (row[1] - row[0]).total_seconds()) if row is not None and row[0] is not None else 0.0
