"""What has been kept for long enough is deleted: a batch at a time, oldest first, by an index."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, delete, select

from surefoot.app.clock import ago
from surefoot.app.rules.states import ENDED
from surefoot.app.store.tables import acts, jobs, sessions

DAY_S = 86400.0


def delete_sessions(tx: Connection, older_than_s: float, limit: int) -> int:
    """Delete sessions that began so long ago, at most `limit`. Returns how many."""
    return _delete(tx, sessions, sessions.c.made_at, older_than_s, limit)


def delete_acts(tx: Connection, older_than_s: float, limit: int) -> int:
    """The same of acts; those of a job that has not ended stay. Returns how many."""
    of_open_job = (
        select(jobs.c.id).where(jobs.c.id == acts.c.job_id, jobs.c.state.not_in(ENDED)).exists()
    )
    return _delete(tx, acts, acts.c.at, older_than_s, limit, ~of_open_job)


def _delete(
    tx: Connection,
    table: Table,
    began: Column[Any],
    older_than_s: float,
    limit: int,
    *guards: ColumnElement[bool],
) -> int:
    old = select(table.c.id).where(began < ago(older_than_s), *guards).order_by(began).limit(limit)
    return tx.execute(delete(table).where(table.c.id.in_(old))).rowcount
