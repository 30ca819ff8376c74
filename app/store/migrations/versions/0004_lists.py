"""Lists of jobs by state, saga or tag, each served by an index."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.clock import UtcDateTime

revision = "0004"
down_revision = "0003"

Id = sa.Uuid(as_uuid=False)
BY_TAG = {
    "postgresql": "SELECT DISTINCT j.tenant_id, t.tag, j.created_at, j.id FROM jobs j, jsonb_array_elements_text(j.tags) AS t(tag)",
    "sqlite": "SELECT DISTINCT j.tenant_id, t.value, j.created_at, j.id FROM jobs j, json_each(j.tags) t",
}


def upgrade() -> None:
    op.create_index("ix_jobs_saga", "jobs", ["tenant_id", "saga", "created_at", "id"])
    not_completed = sa.text("state <> 'completed'")
    op.create_index(
        "ix_jobs_state",
        "jobs",
        ["tenant_id", "state", "created_at", "id"],
        postgresql_where=not_completed,
        sqlite_where=not_completed,
    )
    op.create_table(
        "job_tags",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("tag", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_job_tags_tenant_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_tags_job_id")),
        sa.PrimaryKeyConstraint(
            "tenant_id", "tag", "created_at", "job_id", name=op.f("pk_job_tags")
        ),
    )
    op.create_index("ix_job_tags_job", "job_tags", ["job_id"])
    op.execute(
        f"INSERT INTO job_tags (tenant_id, tag, created_at, job_id) {BY_TAG[op.get_bind().dialect.name]}"
    )


def downgrade() -> None:
    op.drop_table("job_tags")
    op.drop_index("ix_jobs_state", "jobs")
    op.drop_index("ix_jobs_saga", "jobs")
