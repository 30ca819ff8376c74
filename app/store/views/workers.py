"""The register of workers, as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, or_, select

from surefoot.app.clock import ago
from surefoot.app.store.definitions import LIVE_WORKER_S
from surefoot.app.store.session import reading
from surefoot.app.store.tables import workers
from surefoot.app.store.views.names import stamp

ROWS = 200


@dataclass(frozen=True)
class Worker:
    """A worker process. `live`: it has not stopped and was seen lately."""

    worker_id: str
    host: str
    pid: int
    concurrency: int
    lanes: tuple[str, ...]
    digests: tuple[str, ...]
    consuming: tuple[str, ...] | None
    children: int | None
    started_at: datetime
    seen_at: datetime
    live: bool


def register(connection: Connection) -> list[Worker]:
    """The workers that have not said good-bye, and the latest of those that have; last seen first."""
    w = workers.c
    live = case(
        (or_(w.stopped_at.is_not(None), w.seen_at <= ago(LIVE_WORKER_S)), 0), else_=1
    ).label("live")
    rows = connection.execute(
        select(workers, live).order_by(w.stopped_at.is_not(None), w.seen_at.desc()).limit(ROWS)
    )
    return [
        Worker(
            r.worker_id,
            r.host,
            r.pid,
            r.concurrency,
            tuple(r.lanes),
            tuple(r.digests),
            None if r.consuming is None else tuple(r.consuming),
            r.children,
            r.started_at,
            r.seen_at,
            bool(r.live),
        )
        for r in rows
    ]


def workers_view(db: Engine) -> dict[str, Any]:
    """{"items": one for each worker process, "lanes": {lane: live workers}}."""
    with reading(db) as connection:
        found = register(connection)
    lanes = {
        lane: sum(w.live and lane in w.lanes for w in found) for w in found for lane in w.lanes
    }
    items = [
        {
            "id": w.worker_id,
            "host": w.host,
            "pid": w.pid,
            "concurrency": w.concurrency,
            "lanes": list(w.lanes),
            "definitions": list(w.digests),
            "consuming": None if w.consuming is None else list(w.consuming),
            "children": w.children,
            "live": w.live,
            "started_at": stamp(w.started_at),
            "seen_at": stamp(w.seen_at),
        }
        for w in found
    ]
    return {"items": items, "lanes": dict(sorted(lanes.items()))}
