"""Old sessions and old acts are deleted, by an index; an act that is not a year old still is not."""

from alembic import op

revision = "0019"
down_revision = "0018"

KEPT_DAYS = 365
SAID = "acts are kept as they were written"
# both spell the time as the column does: text of fixed width on SQLite
ON_SQLITE = (
    "CREATE TRIGGER acts_no_delete BEFORE DELETE ON acts"
    f" WHEN OLD.at >= strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{KEPT_DAYS} days')"
    f" BEGIN SELECT RAISE(ABORT, '{SAID}'); END"
)
ON_POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION acts_are_kept() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN"
    f" IF TG_OP = 'DELETE' AND OLD.at < now() - interval '{KEPT_DAYS} days' THEN RETURN OLD; END IF;"
    f" RAISE EXCEPTION '{SAID}' USING ERRCODE = 'restrict_violation'; END $$"
)
BEFORE = {
    "sqlite": "CREATE TRIGGER acts_no_DELETE BEFORE DELETE ON acts"
    f" BEGIN SELECT RAISE(ABORT, '{SAID}'); END",
    "postgresql": "CREATE OR REPLACE FUNCTION acts_are_kept() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN RAISE EXCEPTION '{SAID}' USING ERRCODE = 'restrict_violation'; END $$",
}


def upgrade() -> None:
    op.create_index("ix_sessions_made", "sessions", ["made_at"])
    op.create_index("ix_acts_at", "acts", ["at"])
    _replace(ON_SQLITE, ON_POSTGRESQL)


def downgrade() -> None:
    _replace(BEFORE["sqlite"], BEFORE["postgresql"])
    op.drop_index("ix_acts_at", table_name="acts")
    op.drop_index("ix_sessions_made", table_name="sessions")


def _replace(on_sqlite: str, on_postgresql: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER acts_no_DELETE")
        op.execute(on_sqlite)
    else:
        op.execute(on_postgresql)
