"""What a person has adopted is looked up by its key."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
IS_ADOPTED = sa.text("action = 'adopted'")


def upgrade() -> None:
    op.create_index(
        "ix_reconciliations_adopted",
        "reconciliations",
        ["key"],
        postgresql_where=IS_ADOPTED,
        sqlite_where=IS_ADOPTED,
    )


def downgrade() -> None:
    op.drop_index("ix_reconciliations_adopted", table_name="reconciliations")
