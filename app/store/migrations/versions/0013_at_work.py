"""What a worker really does: the queues it takes messages from, and how many children it has."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.store.types import Json

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("workers", sa.Column("consuming", Json, nullable=True))
    op.add_column("workers", sa.Column("children", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "children")
    op.drop_column("workers", "consuming")
