"""Which definitions are deployed: when a worker last had one, and whether an operator has retired it."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.clock import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("definitions", sa.Column("served_at", UtcDateTime(), nullable=True))
    op.add_column("definitions", sa.Column("retired_at", UtcDateTime(), nullable=True))
    op.add_column("definitions", sa.Column("retired_by", sa.String(length=128), nullable=True))
    op.add_column("definitions", sa.Column("retired_why", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("retired_why", "retired_by", "retired_at", "served_at"):
        op.drop_column("definitions", name)
