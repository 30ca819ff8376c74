"""What people read of a saga and of a job; and what asks a person, apart from why a job turned."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.store.types import Json

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("definitions", sa.Column("words", Json, nullable=True))
    op.add_column("jobs", sa.Column("trouble", Json, nullable=True))
    op.add_column("jobs", sa.Column("summary", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "summary")
    op.drop_column("jobs", "trouble")
    op.drop_column("definitions", "words")
