"""What reconciliation found, and when it began last."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.tables.base import Id, metadata, partial
from surefoot.app.store.types import Json

# what reconciliation found: a late job, or an effect about which a service says otherwise
reconciliations = Table(
    "surefoot_reconciliations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column(
        "tenant_id", Id, ForeignKey("surefoot_tenants.id")
    ),  # the job's; the default one's where there is no job
    Column("job_id", Id),  # no foreign key: an orphan is an effect of a job that does not exist
    Column("saga", String(64), nullable=False),
    Column("step", String(64), nullable=False, default=""),
    Column("item", String(64), nullable=False, default=""),
    Column("service", String(255), nullable=False, default=""),
    Column("key", String(255), nullable=False),  # of the effect; of a late job its id
    Column("finding", String(16), nullable=False),
    Column("action", String(16), nullable=False),
    Column("detail", Json),
    Column("actor", String(128), nullable=False),
    Column("closed_at", UtcDateTime),
    Column("closed_by", String(128)),
    Column("closed_why", Text),
    CheckConstraint(
        "finding IN ('late','missing_there','missing_here','different','orphan','unaskable')",
        name="finding",
    ),
    # one open finding, however many find it
    partial(
        "uq_reconciliations_open",
        "finding",
        "key",
        "service",
        where="closed_at IS NULL",
        unique=True,
    ),
    partial("ix_reconciliations_open", "tenant_id", "id", where="closed_at IS NULL"),
    partial("ix_reconciliations_open_job", "job_id", where="closed_at IS NULL"),
    partial("ix_reconciliations_open_kind", "finding", "id", where="closed_at IS NULL"),
    partial("ix_reconciliations_asked", "id", where="closed_at IS NULL AND finding <> 'late'"),
    partial(
        "ix_reconciliations_adopted", "key", where="action = 'adopted'"
    ),  # what is found again is looked up here
    Index("ix_reconciliations_tenant", "tenant_id", "id"),
)


periodic_runs = Table(  # duties that come round: when the last one began, and where it stopped
    "surefoot_periodic_runs",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("cursor", String(64), nullable=False, default=""),
)
