"""Semantic locks and the queues for them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.tables.base import Id, metadata

locks = Table(
    "surefoot_locks",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    Column("taken_at", UtcDateTime, nullable=False, server_default=now()),
    Index("ix_locks_job", "job_id"),
)


# a job has a row in the queue of every key it waits for, and takes all of them at once or none
lock_waiters = Table(
    "surefoot_lock_waiters",
    metadata,
    Column("key", String(255), nullable=False),
    Column(
        "place", Integer, nullable=False
    ),  # higher than that of everybody who was in one of its queues before
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    Column("since", UtcDateTime, nullable=False, server_default=now()),
    Column("until", UtcDateTime, nullable=False),  # it gives up then
    PrimaryKeyConstraint("key", "place"),  # two jobs never stand at one place
    UniqueConstraint("job_id", "key"),
)
