"""Dead letters that can be listed by tenant and redriven by the clock, stall time-outs, owners of jobs in attention, quarantine."""

import sqlalchemy as sa
from alembic import op

from surefoot.app.clock import UtcDateTime

revision = "0002"
down_revision = "0001"

Id = sa.Uuid(as_uuid=False)


def _partial(name: str, table: str, *columns: str, where: str) -> None:
    op.create_index(
        name, table, list(columns), postgresql_where=sa.text(where), sqlite_where=sa.text(where)
    )


def upgrade() -> None:
    op.add_column("jobs", sa.Column("attention_since", UtcDateTime()))
    op.add_column("jobs", sa.Column("owner", sa.String(length=128)))
    op.add_column("jobs", sa.Column("owned_at", UtcDateTime()))
    op.execute(
        "UPDATE jobs SET attention_since = (SELECT min(d.created_at) FROM dead_letters d"
        " WHERE d.job_id = jobs.id AND d.blocking AND d.state = 'open') WHERE state = 'attention'"
    )
    _partial("ix_jobs_attention", "jobs", "tenant_id", "id", where="state = 'attention'")

    op.add_column("operations", sa.Column("stall_s", sa.Float()))
    op.add_column("operations", sa.Column("stall_at", UtcDateTime()))

    op.add_column("dead_letters", sa.Column("tenant_id", Id))
    op.execute(
        "UPDATE dead_letters SET tenant_id = (SELECT j.tenant_id FROM jobs j WHERE j.id = dead_letters.job_id)"
    )
    with op.batch_alter_table("dead_letters") as table:  # SQLite makes the table anew
        table.alter_column("tenant_id", existing_type=Id, nullable=False)
        table.create_foreign_key(
            op.f("fk_dead_letters_tenant_id"), "tenants", ["tenant_id"], ["id"]
        )
        table.add_column(sa.Column("retried_as", Id))
        table.add_column(sa.Column("redrive_at", UtcDateTime()))
        table.add_column(sa.Column("redrive_by", sa.String(length=128)))
        table.add_column(sa.Column("redrive_why", sa.Text()))
    op.create_index("ix_dead_letters_tenant", "dead_letters", ["tenant_id", "id"])
    _partial("ix_dead_letters_open", "dead_letters", "tenant_id", "id", where="state = 'open'")
    _partial("ix_dead_letters_mirror", "dead_letters", "id", where="state = 'open'")
    _partial(
        "ix_dead_letters_redrive",
        "dead_letters",
        "redrive_at",
        where="state = 'open' AND redrive_at IS NOT NULL",
    )

    op.add_column("quarantine", sa.Column("size", sa.Integer()))
    op.add_column("quarantine", sa.Column("discarded_at", UtcDateTime()))
    op.add_column("quarantine", sa.Column("discarded_by", sa.String(length=128)))
    op.add_column("quarantine", sa.Column("discarded_why", sa.Text()))
    _partial("ix_quarantine_kept", "quarantine", "id", where="discarded_at IS NULL")
