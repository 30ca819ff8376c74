"""A job is found by its short name, which the last digits of its id make."""

from alembic import op

revision = "0015"
down_revision = "0014"
TAIL = {"sqlite": "substr(id, 28)", "postgresql": "right(id::text, 5)"}


def upgrade() -> None:
    op.execute(f"CREATE INDEX ix_jobs_name ON jobs ({TAIL[op.get_bind().dialect.name]})")


def downgrade() -> None:
    op.drop_index("ix_jobs_name", table_name="jobs")
