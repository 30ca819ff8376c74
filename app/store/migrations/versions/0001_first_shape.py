"""The first shape: everything of tables.py as it stood on the first day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from surefoot.app.clock import UtcDateTime, now

revision = "0001"
down_revision = None

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
Id = sa.Uuid(as_uuid=False)

EFFECTS_VIEW = """
CREATE VIEW effects AS
SELECT a.id AS id, a.job_id AS job_id, a.step AS step, a.item AS item, a.rank AS rank, a.fidelity AS fidelity,
  CASE WHEN a.state = 'completed' THEN 'done' WHEN a.unsettled > 0 THEN 'unknown' ELSE 'none' END AS outcome,
  CASE WHEN u.id IS NULL THEN CASE
         WHEN j.dir = 'back' AND a.no_return AND (a.state = 'completed' OR a.unsettled > 0) THEN 'refused' ELSE 'not_needed' END
       WHEN u.decided = 'waived' THEN 'waived'
       WHEN u.state = 'completed' THEN 'done'
       WHEN u.state = 'skipped' THEN 'not_needed'
       WHEN u.state = 'failed' THEN 'refused'
       ELSE 'pending' END AS undo_state,
  u.attempts AS undo_attempts, u.id AS undo_id
FROM operations a
JOIN jobs j ON j.id = a.job_id
LEFT JOIN operations u ON u.job_id = a.job_id AND u.step = a.step AND u.item = a.item AND u.kind = 'undo'
WHERE a.kind = 'action' AND a.effectful
"""


def upgrade() -> None:
    op.create_table(
        "definitions",
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("saga", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("graph", Json, nullable=False),
        sa.Column("input_schema", Json, nullable=False),
        sa.Column("registered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_definitions")),
    )
    op.create_index("ix_definitions_saga", "definitions", ["saga", "version"], unique=False)
    op.create_table(
        "faults_fired",
        sa.Column("fault", sa.String(length=255), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fault", name=op.f("pk_faults_fired")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "tenants",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "workers",
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=128), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("lanes", Json, nullable=False),
        sa.Column("digests", Json, nullable=False),
        sa.Column("started_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("stopped_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("boot", name=op.f("pk_workers")),
    )
    op.create_index(
        "ix_workers_seen",
        "workers",
        ["seen_at"],
        unique=False,
        postgresql_where=sa.text("stopped_at IS NULL"),
        sqlite_where=sa.text("stopped_at IS NULL"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", Id, nullable=False),
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("prefix", sa.String(length=12), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("role IN ('user', 'operator', 'admin')", name=op.f("ck_api_keys_role")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
    op.create_table(
        "edges",
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("before", sa.String(length=64), nullable=False),
        sa.Column("after", sa.String(length=64), nullable=False),
        sa.Column("direct", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["definitions.digest"], name=op.f("fk_edges_digest")),
        sa.PrimaryKeyConstraint("digest", "before", "after", name=op.f("pk_edges")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", Id, nullable=False),
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("saga", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("dir", sa.String(length=8), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=True),
        sa.Column("cancel_wish", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", Json, nullable=True),
        sa.Column("input", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("retry_of", Id, nullable=True),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("deadline_at", UtcDateTime(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("sla_at", UtcDateTime(), nullable=True),
        sa.Column("undo_by", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.CheckConstraint("dir IN ('forward','back')", name=op.f("ck_jobs_dir")),
        sa.CheckConstraint(
            "state <> 'completed' OR dir = 'forward'", name=op.f("ck_jobs_completed_forward")
        ),
        sa.CheckConstraint(
            "state IN ('running','compensating','attention','completed','failed','cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('failed','cancelled','compensating') OR dir = 'back'",
            name=op.f("ck_jobs_undone_back"),
        ),
        sa.ForeignKeyConstraint(["digest"], ["definitions.digest"], name=op.f("fk_jobs_digest")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_jobs_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("deadline_at IS NOT NULL AND state = 'running'"),
        sqlite_where=sa.text("deadline_at IS NOT NULL AND state = 'running'"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('running','compensating')"),
        sqlite_where=sa.text("state IN ('running','compensating')"),
    )
    op.create_index("ix_jobs_tenant", "jobs", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_jobs_undo_by",
        "jobs",
        ["undo_by"],
        unique=False,
        postgresql_where=sa.text("undo_by IS NOT NULL AND state = 'compensating'"),
        sqlite_where=sa.text("undo_by IS NOT NULL AND state = 'compensating'"),
    )
    op.create_table(
        "history",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=True),
        sa.Column("item", sa.String(length=64), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=True),
        sa.Column("detail", Json, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_history_job_id")),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_history")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_idempotency_keys_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "inbox",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("payload", Json, nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=True),
        sa.Column("at", UtcDateTime(), server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_inbox_job_id")),
        sa.PrimaryKeyConstraint("job_id", "step", "item", "source", name=op.f("pk_inbox")),
    )
    op.create_table(
        "locks",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("taken_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_locks_job_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_locks")),
    )
    op.create_index("ix_locks_job", "locks", ["job_id"], unique=False)
    op.create_table(
        "operations",
        sa.Column("id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("ready_at", UtcDateTime(), nullable=True),
        sa.Column("queue_s", sa.Float(), nullable=False),
        sa.Column("queue_by", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("resent", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=True),
        sa.Column("boot", sa.String(length=64), nullable=True),
        sa.Column("delivery", Id, nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("allowance", sa.Integer(), nullable=False),
        sa.Column("started", sa.Boolean(), nullable=False),
        sa.Column("effectful", sa.Boolean(), nullable=False),
        sa.Column("no_return", sa.Boolean(), nullable=False),
        sa.Column("unsettled", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("hard_at", UtcDateTime(), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("wait", sa.String(length=16), nullable=True),
        sa.Column("result", Json, nullable=True),
        sa.Column("error", Json, nullable=True),
        sa.Column("progress", Json, nullable=True),
        sa.Column("checkpoint", Json, nullable=True),
        sa.Column("fidelity", sa.String(length=16), nullable=True),
        sa.Column("decided", sa.String(length=16), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("kind IN ('action','undo','confirm')", name=op.f("ck_operations_kind")),
        sa.CheckConstraint(
            "state <> 'running' OR (token IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_operations_running"),
        ),
        sa.CheckConstraint(
            "state <> 'waiting' OR due_at IS NOT NULL", name=op.f("ck_operations_waiting")
        ),
        sa.CheckConstraint(
            "state IN ('pending','queued','running','waiting','completed','skipped','failed','dropped','abandoned')",
            name=op.f("ck_operations_state"),
        ),
        sa.CheckConstraint("attempts <= allowance", name=op.f("ck_operations_attempts")),
        sa.CheckConstraint("missing >= 0", name=op.f("ck_operations_missing")),
        sa.CheckConstraint(
            "unsettled >= 0 AND unsettled <= attempts", name=op.f("ck_operations_unsettled")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_operations_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        sa.UniqueConstraint(
            "job_id", "step", "kind", "item", name=op.f("uq_operations_job_id_step_kind_item")
        ),
    )
    op.create_index(
        "ix_operations_boot",
        "operations",
        ["boot"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_operations_due",
        "operations",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_operations_leased",
        "operations",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_operations_queue_by",
        "operations",
        ["queue_by"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND missing = 0"),
        sqlite_where=sa.text("state = 'queued' AND missing = 0"),
    )
    op.create_index(
        "ix_operations_sent",
        "operations",
        ["sent_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND missing = 0 AND sent_at IS NOT NULL"),
        sqlite_where=sa.text("state = 'queued' AND missing = 0 AND sent_at IS NOT NULL"),
    )
    op.create_index(
        "ix_operations_stranded",
        "operations",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND missing = 0"),
        sqlite_where=sa.text("state = 'pending' AND missing = 0"),
    )
    op.create_index(
        "ix_operations_unsent",
        "operations",
        ["ready_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND missing = 0 AND sent_at IS NULL"),
        sqlite_where=sa.text("state = 'queued' AND missing = 0 AND sent_at IS NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outbox_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL"),
        sqlite_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("operation_id", Id, nullable=False),
        sa.Column("saga", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("why", sa.String(length=32), nullable=False),
        sa.Column("error", Json, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("blocking", sa.Boolean(), nullable=False),
        sa.Column("needs_person", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("resolution", sa.String(length=16), nullable=True),
        sa.Column("resolved_by", sa.String(length=128), nullable=True),
        sa.Column("resolved_why", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("state IN ('open','closed')", name=op.f("ck_dead_letters_state")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_dead_letters_job_id")),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operations.id"], name=op.f("fk_dead_letters_operation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index(
        "ix_dead_letters_blocking",
        "dead_letters",
        ["job_id"],
        unique=False,
        postgresql_where=sa.text("state = 'open' AND blocking"),
        sqlite_where=sa.text("state = 'open' AND blocking"),
    )
    op.create_index("ix_dead_letters_job", "dead_letters", ["job_id"], unique=False)
    op.create_index(
        "uq_dead_letters_open",
        "dead_letters",
        ["operation_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
        sqlite_where=sa.text("state = 'open'"),
    )
    op.execute(EFFECTS_VIEW)
