"""Whether a job was resubmitted is asked of an index: one resubmission at most may stand."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
IS_RERUN = sa.text("retry_of IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_jobs_retry_of",
        "jobs",
        ["retry_of", "id"],
        postgresql_where=IS_RERUN,
        sqlite_where=IS_RERUN,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_retry_of", table_name="jobs")
