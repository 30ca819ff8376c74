"""Since when an operation has failed, and how often since then: what a budget of time is measured by."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.clock import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("operations", sa.Column("failing_since", UtcDateTime(), nullable=True))
    op.add_column(
        "operations", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("operations", "failures")
    op.drop_column("operations", "failing_since")
