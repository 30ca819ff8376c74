"""Whether the parts behind the store are alive, in numbers that need no key to be seen."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from app.clock import ago, now
from app.store.queries import LIVE_WORKER_S
from app.store.session import reading
from app.store.tables import leases, workers

RELAY = "relay"  # the name of the relay's lease


def health_view(db: Engine) -> dict[str, Any]:
    """{"relay": "ok" | "absent", "workers": number of live ones}."""
    w = workers.c
    relay = select(leases.c.fence).where(leases.c.name == RELAY, leases.c.expires_at > now())
    live = select(func.count()).select_from(workers).where(w.stopped_at.is_(None), w.seen_at > ago(LIVE_WORKER_S))
    with reading(db) as connection:
        held = connection.execute(relay).first() is not None
        return {"relay": "ok" if held else "absent", "workers": connection.execute(live).scalar_one()}
