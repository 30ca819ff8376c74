"""The first shape: everything of tables.py as it stood on the first day."""

from alembic import op

from app.store.tables import EFFECTS_VIEW, metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute(EFFECTS_VIEW)
