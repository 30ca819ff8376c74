"""Keys for what is not one tenant's, and whose job a message in quarantine names."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

Id = sa.Uuid(as_uuid=False)


def upgrade() -> None:
    op.add_column(
        "api_keys", sa.Column("platform", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("quarantine", sa.Column("tenant_id", Id, nullable=True))
    op.create_index("ix_quarantine_tenant", "quarantine", ["tenant_id", "id"])
    kept = sa.text("discarded_at IS NULL")
    op.create_index(
        "ix_quarantine_tenant_kept",
        "quarantine",
        ["tenant_id", "id"],
        postgresql_where=kept,
        sqlite_where=kept,
    )
    # operators and admins of the default tenant saw all of this: a single tenant goes on as
    # before
    op.execute(
        "UPDATE api_keys SET platform = true WHERE role IN ('operator', 'admin')"
        " AND tenant_id IN (SELECT id FROM tenants WHERE name = 'default')"
    )


def downgrade() -> None:
    op.drop_index("ix_quarantine_tenant_kept", "quarantine")
    op.drop_index("ix_quarantine_tenant", "quarantine")
    op.drop_column("quarantine", "tenant_id")
    op.drop_column("api_keys", "platform")
