"""Operations, and the effects that are seen over them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from surefoot.app.clock import UtcDateTime
from surefoot.app.store.tables.base import NOBODY, Id, metadata, partial
from surefoot.app.store.types import Json

operations = Table(
    "surefoot_operations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("surefoot_jobs.id"), nullable=False),
    Column("step", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("item", String(64), nullable=False, default=""),
    Column("rank", Integer, nullable=False),
    Column("lane", String(64), nullable=False),
    # the job's, so that whose turn it is reads no job; NOBODY of rows that an older release wrote
    Column("tenant_id", Id, nullable=False, server_default=text(f"'{NOBODY}'")),
    Column("state", String(16), nullable=False),
    Column("pending_dependencies", Integer, nullable=False),
    Column("ready_at", UtcDateTime),
    Column(
        "queue_s", Float, nullable=False
    ),  # how long it may lie ready before somebody comes, seconds
    Column("claim_deadline_at", UtcDateTime),  # nobody came by then: a failure of its own kind
    Column("sent_at", UtcDateTime),
    Column("republished", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),
    Column("token", String(40)),
    Column("worker_id", String(64)),  # the worker process that has it, or had it last
    Column(
        "message_id", Id
    ),  # the message under which it runs: its own, or the one that ran on to it
    Column("pid", Integer),
    Column("attempts", Integer, nullable=False, default=0),
    Column("max_attempts", Integer, nullable=False),
    Column(
        "failing_since", UtcDateTime
    ),  # of the first failed attempt since its service last answered
    Column("failures", Integer, nullable=False, default=0, server_default=text("0")),  # since then
    Column("started", Boolean, nullable=False, default=False),
    Column("effectful", Boolean, nullable=False),
    Column(
        "irrevocable", Boolean, nullable=False
    ),  # its claim decides that the job only goes forward
    Column("unknown_outcomes", Integer, nullable=False, default=0),
    Column("stop_requested", Boolean, nullable=False, default=False),
    Column("lease_until", UtcDateTime),
    Column("hard_deadline_at", UtcDateTime),
    Column(
        "stall_s", Float
    ),  # how long an attempt may go without a sign of its own, seconds; null: as long as it may run
    Column("heartbeat_deadline_at", UtcDateTime),  # no sign by then: the attempt counts as lost
    Column("due_at", UtcDateTime),
    Column("wait_reason", String(16)),
    Column("result", Json),
    Column("error", Json),
    Column("progress", Json),
    Column("checkpoint", Json),
    Column(
        "fidelity", String(16)
    ),  # of an action: how well it can be undone; null when it needs no undo
    Column(
        "resolution", String(16)
    ),  # a person's word instead of the worker's: marked_done, marked_absent, waived
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    UniqueConstraint("job_id", "step", "kind", "item"),  # one effect key, one row
    CheckConstraint("pending_dependencies >= 0", name="pending_dependencies"),  # released twice
    CheckConstraint(
        "attempts <= max_attempts", name="attempts"
    ),  # a poison step that is claimed for ever
    CheckConstraint(
        "unknown_outcomes >= 0 AND unknown_outcomes <= attempts", name="unknown_outcomes"
    ),  # an effect forgotten
    CheckConstraint(
        "state <> 'running' OR (token IS NOT NULL AND lease_until IS NOT NULL)", name="running"
    ),
    CheckConstraint("state <> 'waiting' OR due_at IS NOT NULL", name="waiting"),  # parked for ever
    CheckConstraint(
        "state IN ('pending','queued','running','waiting','completed','skipped','failed','dropped','abandoned')",
        name="state",
    ),
    CheckConstraint("kind IN ('action','undo','confirm')", name="kind"),
    partial(
        "ix_operations_unsent",
        "ready_at",
        where="state = 'queued' AND pending_dependencies = 0 AND sent_at IS NULL",
    ),
    partial(
        "ix_operations_sent_of",
        "lane",
        "kind",
        "sent_at",
        where="state = 'queued' AND pending_dependencies = 0 AND sent_at IS NOT NULL",
    ),
    partial(
        "ix_operations_turn",
        *("lane", "kind", "tenant_id", "sent_at", "ready_at"),
        where="state = 'queued' AND pending_dependencies = 0",
    ),
    partial(
        "ix_operations_claim_deadline",
        "claim_deadline_at",
        where="state = 'queued' AND pending_dependencies = 0",
    ),
    partial("ix_operations_leased", "lease_until", where="state = 'running'"),
    partial("ix_operations_worker", "worker_id", where="state = 'running'"),
    partial("ix_operations_due", "due_at", where="state = 'waiting'"),
    partial(
        "ix_operations_stranded",
        "id",
        where="state = 'pending' AND pending_dependencies = 0",
    ),
)


# What happened outside, seen over action and undo operations: no second table that could disagree.
EFFECTS_VIEW = """
CREATE VIEW surefoot_effects AS
SELECT a.id AS id, a.job_id AS job_id, a.step AS step, a.item AS item, a.rank AS rank, a.fidelity AS fidelity,
  CASE WHEN a.state = 'completed' THEN 'done' WHEN a.unknown_outcomes > 0 THEN 'unknown' ELSE 'none' END AS outcome,
  CASE WHEN u.id IS NULL THEN CASE
         WHEN j.direction = 'back' AND a.irrevocable
           AND (a.state = 'completed' OR a.unknown_outcomes > 0) THEN 'refused'
           ELSE 'not_needed' END
       WHEN u.resolution = 'waived' THEN 'waived'
       WHEN u.state = 'completed' THEN 'done'
       WHEN u.state = 'skipped' THEN 'not_needed'
       WHEN u.state = 'failed' THEN 'refused'
       ELSE 'pending' END AS undo_state,
  u.attempts AS undo_attempts, u.id AS undo_id
FROM surefoot_operations a
JOIN surefoot_jobs j ON j.id = a.job_id
LEFT JOIN surefoot_operations u ON u.job_id = a.job_id AND u.step = a.step AND u.item = a.item AND u.kind = 'undo'
WHERE a.kind = 'action' AND a.effectful
"""
