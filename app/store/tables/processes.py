"""Workers, the leases of duties, and faults that were injected."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Integer,
    String,
    Table,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.tables.base import metadata, partial
from surefoot.app.store.types import Json

leases = Table(  # duties that one process at a time has
    "surefoot_leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)


workers = Table(
    "surefoot_workers",
    metadata,
    Column("worker_id", String(64), primary_key=True),
    Column("host", String(128), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("lanes", Json, nullable=False),
    Column("digests", Json, nullable=False),
    Column("consuming", Json),  # the queues it takes messages from; NULL until it has said so
    Column("children", Integer),  # how many of its children there are; NULL until it has said so
    Column("started_at", UtcDateTime, nullable=False, server_default=now()),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("stopped_at", UtcDateTime),
    partial("ix_workers_seen", "seen_at", where="stopped_at IS NULL"),
)


# how often each injected fault has fired, so that a restarted process does not start over
faults_fired = Table(
    "surefoot_faults_fired",
    metadata,
    Column("fault", String(255), primary_key=True),
    Column("times", Integer, nullable=False),
)
