"""Whose an operation is: lanes are taken in turn by tenant."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

READY = sa.text("state = 'queued' AND missing = 0")


def upgrade() -> None:
    nobody = sa.text(f"'{'0' * 32}'")
    whose = sa.Column("tenant_id", sa.Uuid(as_uuid=False), server_default=nobody, nullable=False)
    op.add_column("operations", whose)
    op.create_index(
        "ix_operations_turn",
        "operations",
        ["lane", "kind", "tenant_id", "sent_at", "ready_at"],
        postgresql_where=READY,
        sqlite_where=READY,
    )


def downgrade() -> None:
    op.drop_index("ix_operations_turn", "operations")
    op.drop_column("operations", "tenant_id")
