"""Reconciliation: what it found, where it goes on, and the index by which late jobs are found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from surefoot.app.clock import UtcDateTime, now

revision = "0005"
down_revision = "0004"

Id = sa.Uuid(as_uuid=False)
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def _partial(name: str, table: str, columns: list[str], where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition
    )


def upgrade() -> None:
    _partial(
        "ix_jobs_sla",
        "jobs",
        ["sla_at"],
        "sla_at IS NOT NULL AND state IN ('running','compensating','attention')",
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("tenant_id", Id, nullable=True),
        sa.Column("job_id", Id, nullable=True),
        sa.Column("saga", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("finding", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("detail", Json, nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("closed_by", sa.String(length=128), nullable=True),
        sa.Column("closed_why", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "finding IN ('late','missing_there','missing_here','different','orphan','unaskable')",
            name=op.f("ck_reconciliations_finding"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_reconciliations_tenant_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    still_open = "closed_at IS NULL"
    _partial(
        "uq_reconciliations_open",
        "reconciliations",
        ["finding", "key", "service"],
        still_open,
        unique=True,
    )
    _partial("ix_reconciliations_open", "reconciliations", ["tenant_id", "id"], still_open)
    _partial("ix_reconciliations_open_job", "reconciliations", ["job_id"], still_open)
    _partial("ix_reconciliations_open_kind", "reconciliations", ["finding", "id"], still_open)
    _partial(
        "ix_reconciliations_asked",
        "reconciliations",
        ["id"],
        "closed_at IS NULL AND finding <> 'late'",
    )
    op.create_index("ix_reconciliations_tenant", "reconciliations", ["tenant_id", "id"])
    rounds = op.create_table(
        "rounds",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("position", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rounds")),
    )
    for name in ("late", "effects"):
        op.execute(sa.insert(rounds).values(name=name, begun_at=now(), position=""))


def downgrade() -> None:
    op.drop_table("rounds")
    op.drop_table("reconciliations")
    op.drop_index("ix_jobs_sla", "jobs")
