"""What was sent is looked through lane by lane. Code from before finds it by the index of what is ready."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
SENT = sa.text("state = 'queued' AND missing = 0 AND sent_at IS NOT NULL")


def upgrade() -> None:
    columns = ["lane", "kind", "sent_at"]
    op.create_index(
        "ix_operations_sent_of", "operations", columns, postgresql_where=SENT, sqlite_where=SENT
    )
    op.drop_index("ix_operations_sent", table_name="operations")


def downgrade() -> None:
    op.create_index(
        "ix_operations_sent", "operations", ["sent_at"], postgresql_where=SENT, sqlite_where=SENT
    )
    op.drop_index("ix_operations_sent_of", table_name="operations")
