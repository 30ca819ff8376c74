"""Acts of people, which nobody changes or takes away; and the key of the actor in history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from surefoot.app.clock import UtcDateTime, now

revision = "0016"
down_revision = "0015"

Id = sa.Uuid(as_uuid=False)
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
SAID = "acts are kept as they were written"
ON_SQLITE = (
    "CREATE TRIGGER acts_no_{verb} BEFORE {verb} ON acts BEGIN SELECT RAISE(ABORT, '{said}'); END"
)
ON_POSTGRESQL = (
    "CREATE FUNCTION acts_are_kept() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN RAISE EXCEPTION '{SAID}' USING ERRCODE = 'restrict_violation'; END $$",
    "CREATE TRIGGER acts_no_change BEFORE UPDATE OR DELETE ON acts FOR EACH ROW EXECUTE FUNCTION acts_are_kept()",
    "CREATE TRIGGER acts_no_truncate BEFORE TRUNCATE ON acts FOR EACH STATEMENT EXECUTE FUNCTION acts_are_kept()",
)


def _partial(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "acts", columns, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    op.create_table(
        "acts",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("tenant_id", Id, nullable=True),
        sa.Column("key_id", Id, nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("act", sa.String(length=32), nullable=False),
        sa.Column("object_kind", sa.String(length=16), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("job_id", Id, nullable=True),
        sa.Column("part_of", Id, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("details", Json, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_acts_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acts")),
    )
    whole = "part_of IS NULL"
    _partial("ix_acts_all", ["at", "id"], whole)
    _partial("ix_acts_tenant", ["tenant_id", "at", "id"], whole)
    _partial("ix_acts_actor", ["actor", "at", "id"], whole)
    _partial("ix_acts_job", ["job_id", "at", "id"], "job_id IS NOT NULL")
    op.add_column("history", sa.Column("key_id", Id, nullable=True))
    op.add_column("dead_letters", sa.Column("redrive_key", Id, nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(ON_SQLITE.format(verb=verb, said=SAID))
    else:
        for statement in ON_POSTGRESQL:
            op.execute(statement)


def downgrade() -> None:
    op.drop_column("dead_letters", "redrive_key")
    op.drop_column("history", "key_id")
    op.drop_table("acts")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION acts_are_kept")
