"""A running `surefoot up` that has faults to inject, and what can be asked of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, faults_fired, history, jobs, operations
from surefoot.app.store.worker_register import live_workers
from tests.support.files import lines_of
from tests.support.orders import Shop
from tests.support.running import Up
from tests.support.waiting import wait_until

LEASE_S = 4.0  # longer than a busy machine makes a heartbeat late: who counts attempts wants none to be lost by that
BUSY_S = 10.0  # what is done after a crash but the waiting, on that machine; far below SUREFOOT_LOST_SECONDS and the visibility timeout
QUICK = {
    "SUREFOOT_LEASE_SECONDS": f"{LEASE_S:g}",
    "SUREFOOT_HEARTBEAT_SECONDS": "0.5",
    "SUREFOOT_SWEEP_SECONDS": "0.3",
    "SUREFOOT_HARD_LIMIT_GRACE_SECONDS": "0.5",
}
TELLING = {"SUREFOOT_ENV": "test", "SUREFOOT_LOG_FORMAT": "json"}
WORKERS = ("worker-1", "worker-2")


@dataclass(frozen=True)
class Fired:
    """A fault that has fired: where and when (aware, UTC)."""

    fault: str
    pid: int
    at: datetime


class FaultyShop(Shop):
    """A shop whose processes crash where they were told to."""

    def lines(self, *parts: str) -> list[dict[str, Any]]:
        """What these parts have said, one dict for each line that is an object."""
        found = []
        for part in parts:
            for line in lines_of(self.up.home / "log" / f"{part}.log"):
                if line.startswith("{"):
                    found.append(json.loads(line))
        return found

    def fired(self, *parts: str) -> list[Fired]:
        """What these parts (the workers, if none is named) have fired, in order of time."""
        lines = [
            line for line in self.lines(*(parts or WORKERS)) if line.get("event") == "fault.fired"
        ]
        return sorted(
            (Fired(x["fault"], x["pid"], datetime.fromisoformat(x["timestamp"])) for x in lines),
            key=lambda fired: fired.at,
        )

    def counted(self) -> dict[str, int]:
        """What the store has counted."""
        with reading(self.db) as connection:
            return {row.fault: row.times for row in connection.execute(select(faults_fired))}

    def state(self, job_id: str) -> str:
        with reading(self.db) as connection:
            return str(
                connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one()
            )

    def took_s(self, job_ids: Sequence[str]) -> float:
        """From submission to completion by the store's clock, of the slowest of these; waits for them."""
        wait_until(
            lambda: all(self.state(job) == "completed" for job in job_ids),
            120,
            what="orders that nothing happens to",
        )
        with reading(self.db) as connection:
            rows = connection.execute(
                select(jobs.c.created_at, jobs.c.finished_at).where(jobs.c.id.in_(job_ids))
            ).all()
        return max((row.finished_at - row.created_at).total_seconds() for row in rows)

    def recovery_s(self) -> float:
        """How long it may take until what a crash interrupted has been done again: a lease, some seconds, and the doing.

        How long that takes on this machine just now is asked of an order to which nothing happens.
        """
        return LEASE_S + BUSY_S + self.took_s([self.order()])

    def operation(self, job_id: str, step: str, kind: str = "action") -> Any:
        o = operations.c
        with reading(self.db) as connection:
            return connection.execute(
                select(operations).where(o.job_id == job_id, o.step == step, o.kind == kind)
            ).one()

    def letters(self, job_id: str, state: str = "open") -> list[Any]:
        d = dead_letters.c
        with reading(self.db) as connection:
            return list(
                connection.execute(select(dead_letters).where(d.job_id == job_id, d.state == state))
            )

    def history(self, job_id: str) -> list[Any]:
        with reading(self.db) as connection:
            return list(
                connection.execute(
                    select(history).where(history.c.job_id == job_id).order_by(history.c.seq)
                )
            )


@contextmanager
def faulty_shop(
    home: Path, faults: str, *, sagas: str = "", database_url: str = "", **env: str
) -> Iterator[FaultyShop]:
    """Everything of one home, told to inject `faults`. `sagas`: modules with sagas, by import name.

    A SQLite store is the home's own, wherever `database_url` would have it: who freezes processes looks for locks there.
    """
    told = {**QUICK, **TELLING, "SUREFOOT_FAULTS": faults, "SUREFOOT_SAGAS": sagas, **env}
    if not database_url.startswith("sqlite") and database_url:
        told["DATABASE_URL"] = database_url
    up = Up(home, **told)
    up.spares = 24
    try:
        up.start()
        shop = FaultyShop(up)
        try:
            wait_until(lambda: len(live_workers(shop.db)) == len(WORKERS), 60, what="both workers")
            yield shop
        finally:
            shop.close()
    finally:
        up.close()
