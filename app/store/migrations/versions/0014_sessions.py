"""Sessions of browsers: a row each, so that one can be ended on the server."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.clock import UtcDateTime, now

revision = "0014"
down_revision = "0013"

Id = sa.Uuid(as_uuid=False)


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", Id, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("key_id", Id, nullable=False),
        sa.Column("made_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(length=128), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_sessions_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("hash", name=op.f("uq_sessions_hash")),
    )
    still_open = sa.text("ended_at IS NULL")
    for name, columns in (
        ("ix_sessions_open", ["made_at", "id"]),
        ("ix_sessions_open_key", ["key_id", "made_at", "id"]),
    ):
        op.create_index(
            name, "sessions", columns, postgresql_where=still_open, sqlite_where=still_open
        )


def downgrade() -> None:
    op.drop_table("sessions")
