"""Whether the parts behind the store are alive, in numbers that need no key to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select

from surefoot.app.clock import ago, now
from surefoot.app.rules.states import Kind
from surefoot.app.saga.naming import queue_name
from surefoot.app.store.definitions import LIVE_WORKER_S
from surefoot.app.store.session import reading
from surefoot.app.store.statements import QUEUED, ZERO
from surefoot.app.store.tables import leases, operations, workers

RELAY = "relay"  # the name of the relay's lease


def health_view(db: Engine) -> dict[str, Any]:
    """{"relay": "ok" | "absent", "workers": number of live ones, "idle_queues": number of queues
    that none of them serves}.
    """
    w = workers.c
    relay = select(leases.c.fence).where(leases.c.name == RELAY, leases.c.expires_at > now())
    live = select(w.lanes, w.consuming, w.children).where(
        w.stopped_at.is_(None), w.seen_at > ago(LIVE_WORKER_S)
    )
    with reading(db) as connection:
        held = connection.execute(relay).first() is not None
        found = connection.execute(live).all()
    idle = len(idle_queues(found))
    return {"relay": "ok" if held else "absent", "workers": len(found), "idle_queues": idle}


def idle_queues(live: Sequence[Any]) -> list[str]:
    """The queues of lanes that live workers announce, and from which none of them takes messages.

    `live`: rows with lanes, consuming and children. A worker that has not said yet what it consumes
    counts as told.
    """
    announced, served = set(), set()
    for worker in live:
        queues = {
            queue_name(lane, kind) for lane in worker.lanes for kind in (Kind.ACTION, Kind.UNDO)
        }
        announced |= queues
        if worker.children != 0:
            served |= queues if worker.consuming is None else queues & set(worker.consuming)
    return sorted(announced - served)


def oldest_ready_s(db: Engine) -> float:
    """How long the operation that is nearest to its queue time-out, or past it, has been ready,
    seconds; 0 where none is.

    One row of the index of what is ready: a backlog costs no more than an empty queue.
    """
    with reading(db) as connection:
        return max(oldest_s(connection, past=True), oldest_s(connection, past=False))


def oldest_s(connection: Connection, *, past: bool) -> float:
    """`past`: of those that wait on past their time, which have no clock any more."""
    o = operations.c
    clock = o.claim_deadline_at.is_(None) if past else o.claim_deadline_at.is_not(None)
    ready = (
        select(o.ready_at, now())
        .where(o.state == QUEUED, o.pending_dependencies == ZERO, clock)
        .order_by(o.claim_deadline_at)
        .limit(1)
    )
    row = connection.execute(ready).one_or_none()
    return (
        max(0.0, (row[1] - row[0]).total_seconds())
        if row is not None and row[0] is not None
        else 0.0
    )
