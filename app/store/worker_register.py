"""The register of workers: those seen lately, and their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from surefoot.app.clock import ago, now
from surefoot.app.store.definitions import LIVE_WORKER_S
from surefoot.app.store.rows.records import WorkerRow
from surefoot.app.store.session import reading
from surefoot.app.store.tables import workers


def live_workers(db: Engine) -> list[WorkerRow]:
    """Workers seen lately: (worker_id, host, pid, concurrency, lanes, digests, started_at,
    seen_at).
    """
    with reading(db) as connection:
        return list(
            connection.execute(
                select(workers)
                .where(workers.c.stopped_at.is_(None), workers.c.seen_at > ago(LIVE_WORKER_S))
                .order_by(workers.c.worker_id)
            )
        )


def digests_of_live_workers(connection: Connection) -> set[str]:
    """The digests of every definition that some worker seen lately has."""
    w = workers.c
    rows = connection.scalars(
        select(w.digests).where(w.stopped_at.is_(None), w.seen_at > ago(LIVE_WORKER_S))
    )
    return {digest for digests in rows for digest in digests}


def see_worker(tx: Connection, worker_id: str, at_work: Mapping[str, Any] | None = None) -> bool:
    """`at_work`: what it does now, by column."""
    seen = update(workers).where(workers.c.worker_id == worker_id)
    return tx.execute(seen.values(seen_at=now(), stopped_at=None, **(at_work or {}))).rowcount == 1


def add_worker(tx: Connection, values: Mapping[str, Any]) -> None:
    """A worker that the register does not know, by column; it is seen now."""
    tx.execute(insert(workers).values(**values, seen_at=now()))


def stop_worker(tx: Connection, worker_id: str) -> set[str]:
    """Returns the digests of the definitions it had."""
    stopped = (
        update(workers)
        .where(workers.c.worker_id == worker_id)
        .values(stopped_at=now())
        .returning(workers.c.digests)
    )
    return {digest for digests in tx.scalars(stopped) for digest in digests}
