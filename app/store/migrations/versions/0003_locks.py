"""The queues of jobs that wait for semantic locks."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.clock import UtcDateTime, now

revision = "0003"
down_revision = "0002"

Id = sa.Uuid(as_uuid=False)


def upgrade() -> None:
    op.create_table(
        "lock_waiters",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("since", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_lock_waiters_job_id")),
        sa.PrimaryKeyConstraint("key", "place", name=op.f("pk_lock_waiters")),
        sa.UniqueConstraint("job_id", "key", name=op.f("uq_lock_waiters_job_id_key")),
    )
