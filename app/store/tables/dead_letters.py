"""Dead letters, and messages in quarantine."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.tables.base import Id, metadata, partial
from surefoot.app.store.types import Json

dead_letters = Table(
    "surefoot_dead_letters",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    Column("operation_id", Id, ForeignKey("surefoot_operations.id"), nullable=False),
    Column("saga", String(64), nullable=False),
    Column("step", String(64), nullable=False),
    Column("item", String(64), nullable=False, default=""),
    Column("kind", String(8), nullable=False),
    Column("why", String(32), nullable=False),  # app.rules.reasons
    Column("error", Json),
    Column("attempts", Integer, nullable=False),
    Column("blocking", Boolean, nullable=False),  # holds the job in attention
    Column("needs_person", Boolean, nullable=False),
    Column("state", String(8), nullable=False, default="open"),
    Column("resolution", String(16)),
    Column("resolved_by", String(128)),
    Column("resolved_why", Text),
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
    Column("closed_at", UtcDateTime),
    Column(
        "tenant_id", Id, ForeignKey("surefoot_tenants.id"), nullable=False
    ),  # the job's, so that a list of letters reads no job
    Column("retried_as", Id),  # the new job that runs the ended one again
    Column(
        "redrive_at", UtcDateTime
    ),  # the relay sends it back then, in the name and for the reason of the next two
    Column("redrive_by", String(128)),
    Column("redrive_key", Id),
    Column("redrive_why", Text),
    CheckConstraint("state IN ('open','closed')", name="state"),
    # one open letter for an operation, however many workers find it exhausted
    partial("uq_dead_letters_open", "operation_id", where="state = 'open'", unique=True),
    partial("ix_dead_letters_blocking", "job_id", where="state = 'open' AND blocking"),
    Index("ix_dead_letters_job", "job_id"),
    Index("ix_dead_letters_tenant", "tenant_id", "id"),
    partial("ix_dead_letters_open", "tenant_id", "id", where="state = 'open'"),
    partial("ix_dead_letters_mirror", "id", where="state = 'open'"),
    partial(
        "ix_dead_letters_redrive",
        "redrive_at",
        where="state = 'open' AND redrive_at IS NOT NULL",
    ),
)


quarantine = Table(  # messages nobody can run, kept with their reason
    "surefoot_quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column("reason", String(255), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("headers", Json, nullable=False),
    Column("body", Text, nullable=False),  # at most its first 4,096 characters
    Column("size", Integer),  # bytes of the whole message, where it is known
    Column("discarded_at", UtcDateTime),
    Column("discarded_by", String(128)),
    Column("discarded_why", Text),
    Column("tenant_id", Id),  # of the job that it names; null where it names none that is here
    Index("ix_quarantine_tenant", "tenant_id", "id"),
    partial("ix_quarantine_tenant_kept", "tenant_id", "id", where="discarded_at IS NULL"),
    partial("ix_quarantine_kept", "id", where="discarded_at IS NULL"),
)
