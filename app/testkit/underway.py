"""Jobs under way in virtual time: where they stand, and when the next thing is due to happen to one
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from surefoot.app.config import Settings
from surefoot.app.rules.states import ENDED, LIVE, JobState, OpState
from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs, operations

BEAT_S = 0.001  # how long after something is due it is looked for


def state_of(db: Engine, job_id: str) -> str:
    """A job's state."""
    with reading(db) as connection:
        return str(connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one())


def at_rest(db: Engine, job_id: str) -> bool:
    """Whether a job has ended, or waits for a person and for nothing else."""
    state = state_of(db, job_id)
    if state != JobState.ATTENTION:
        return state in ENDED
    o = operations.c
    with reading(db) as connection:
        moving = select(o.id).where(
            o.job_id == job_id, o.state.in_(LIVE), o.pending_dependencies == 0
        )
        return connection.execute(moving.limit(1)).first() is None


def next_due_s(db: Engine, settings: Settings, job_ids: Sequence[str], now: datetime) -> float:
    """How long until the first thing that is due: a lease, a back-off, a message that was not sent
    or not taken, a worker's coming.
    """
    o = operations.c
    with reading(db) as connection:
        query = select(
            o.state,
            o.lease_until,
            o.due_at,
            o.ready_at,
            o.sent_at,
            o.republished,
            o.claim_deadline_at,
        )
        rows = connection.execute(
            query.where(o.job_id.in_(job_ids), o.state.in_(LIVE), o.pending_dependencies == 0)
        ).all()
    dates = []
    for row in rows:
        if row.state == OpState.RUNNING:
            dates.append(row.lease_until)
        elif row.state == OpState.WAITING:
            dates.append(row.due_at)
        elif row.sent_at is None:
            dates.append(row.ready_at + timedelta(seconds=settings.unsent_seconds))
        else:  # rung again, sooner where its queue is empty; or given up
            bounds = [
                s * 2**row.republished for s in (settings.lease_seconds, settings.lost_seconds)
            ]
            rung = [row.sent_at + timedelta(seconds=s) for s in bounds]
            dates += [
                date for date in (*rung, row.claim_deadline_at) if date is not None and date > now
            ]
    due_s = min(((date - now).total_seconds() for date in dates), default=settings.lease_seconds)
    return max(due_s, 0.0) + (BEAT_S if due_s > 0 else 1.0)


def told_that_nobody_comes(db: Engine, job_id: str) -> bool:
    """Whether something of the job waits for a worker past its time, and waits on: operators are
    told.
    """
    o = operations.c
    alarmed = select(o.id).where(
        o.job_id == job_id,
        o.state == OpState.QUEUED,
        o.pending_dependencies == 0,
        o.claim_deadline_at.is_(None),
    )
    with reading(db) as connection:
        return connection.execute(alarmed.limit(1)).first() is not None
