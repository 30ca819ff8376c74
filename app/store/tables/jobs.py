"""Jobs, their tags, idempotency keys and history; what comes in for them, and what leaves."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.ids import tail_of
from surefoot.app.store.tables.base import Id, metadata, partial
from surefoot.app.store.types import Json

jobs = Table(
    "surefoot_jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("surefoot_tenants.id"), nullable=False),
    Column("saga", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(16), ForeignKey("surefoot_definitions.digest"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("cause", String(16)),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("reason", Text),  # one sentence: why it turned. Written by the turn, once
    Column("error", Json),  # {"step", "kind", "type", "message"} of what made it turn. The same
    Column(
        "trouble", Json
    ),  # the same of the last operation for which a person was asked, which is not why it turned
    Column(
        "summary", Text
    ),  # one line from its input, without secrets, as its saga's author words it
    Column("input", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("retry_of", Id),
    Column("created_by", String(128), nullable=False),
    Column("traceparent", String(55)),  # of the request; none in jobs older than the column
    Column("created_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime),
    Column(
        "deadline_missed", Boolean, nullable=False, default=False
    ),  # its deadline passed when it could not turn any more
    Column("sla_at", UtcDateTime),
    Column("undo_deadline_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("attention_since", UtcDateTime),  # a person is asked since then
    Column("owner", String(128)),  # who has taken it on
    Column("owned_at", UtcDateTime),
    Column(
        "seq", Integer, nullable=False, default=0
    ),  # numbers history without gaps, raised under the job's lock
    Column("rev", Integer, nullable=False, default=0),
    CheckConstraint(
        "state IN ('running','compensating','attention','completed','failed','cancelled')",
        name="state",
    ),
    CheckConstraint("direction IN ('forward','back')", name="direction"),
    # a job that ended well never turned, one that ended undone did: no path may write the other
    CheckConstraint("state <> 'completed' OR direction = 'forward'", name="completed_forward"),
    CheckConstraint(
        "state NOT IN ('failed','cancelled','compensating') OR direction = 'back'",
        name="undone_back",
    ),
    Index("ix_jobs_tenant", "tenant_id", "created_at", "id"),
    Index("ix_jobs_saga", "tenant_id", "saga", "created_at", "id"),  # a list of one saga's jobs
    # a list of one state's jobs; nearly all that ended did so well, and are found by ix_jobs_tenant
    # without it
    partial(
        "ix_jobs_state",
        "tenant_id",
        "state",
        "created_at",
        "id",
        where="state <> 'completed'",
    ),
    partial("ix_jobs_open", "id", where="state IN ('running','compensating')"),
    partial(
        "ix_jobs_deadline",
        "deadline_at",
        where="deadline_at IS NOT NULL AND state = 'running'",
    ),
    partial(
        "ix_jobs_sla",
        "sla_at",
        where="sla_at IS NOT NULL AND state IN ('running','compensating','attention')",
    ),
    partial(
        "ix_jobs_undo_deadline",
        "undo_deadline_at",
        where="undo_deadline_at IS NOT NULL AND state = 'compensating'",
    ),
    partial(
        "ix_jobs_retry_of", "retry_of", "id", where="retry_of IS NOT NULL"
    ),  # whether a job was resubmitted
    partial("ix_jobs_attention", "tenant_id", "id", where="state = 'attention'"),
)


Index("ix_jobs_name", tail_of(jobs.c.id))  # a person says order-7K3F


job_tags = Table(  # the words a job is found by, once more for lists: `jobs.tags` has them in order
    "surefoot_job_tags",
    metadata,
    Column("tenant_id", Id, ForeignKey("surefoot_tenants.id"), nullable=False),
    Column("tag", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),  # the job's: a page is read in its order
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    PrimaryKeyConstraint("tenant_id", "tag", "created_at", "job_id"),
    Index("ix_job_tags_job", "job_id"),
)


idempotency_keys = Table(
    "surefoot_idempotency_keys",
    metadata,
    Column("tenant_id", Id, ForeignKey("surefoot_tenants.id"), nullable=False),
    Column("key", String(255), nullable=False),
    Column(
        "fingerprint", String(64), nullable=False
    ),  # SHA-256 over saga name and input, not the version
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
    PrimaryKeyConstraint(
        "tenant_id", "key"
    ),  # two requests with one key: the second insert fails, one job exists
)


# one row for each thing that happened: the timeline, the event stream and the audit at once
history = Table(
    "surefoot_history",
    metadata,
    Column("job_id", Id, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column("event", String(32), nullable=False),
    Column("step", String(64)),
    Column("kind", String(8)),
    Column("item", String(64)),
    Column("attempt", Integer),
    Column("fence", Integer),
    Column("actor", String(128)),
    Column("key_id", Id),  # of the actor's API key: names are free, and not unique
    Column("detail", Json),
    PrimaryKeyConstraint("job_id", "seq"),
    ForeignKeyConstraint(["job_id"], ["surefoot_jobs.id"]),
)


inbox = (
    Table(  # callbacks, signals and decisions, also those that come before their step has parked
        "surefoot_inbox",
        metadata,
        Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
        Column("step", String(64), nullable=False),
        Column("item", String(64), nullable=False, default=""),
        Column("source", String(64), nullable=False),
        Column("payload", Json),
        Column("actor", String(128)),
        Column("at", UtcDateTime, nullable=False, server_default=now()),
        PrimaryKeyConstraint(
            "job_id", "step", "item", "source"
        ),  # the second, contrary answer is a conflict
    )
)


# what leaves us: webhooks, mail, replies. An operation's row is the outbox of its own message
outbox = Table(
    "surefoot_outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("payload", Json, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    partial("ix_outbox_due", "due_at", where="sent_at IS NULL"),
)
