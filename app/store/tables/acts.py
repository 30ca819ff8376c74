"""What people did."""

from __future__ import annotations

from sqlalchemy import (
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

# what people did, to be read later. Triggers refuse an UPDATE, and a DELETE within a year
acts = Table(
    "surefoot_acts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=now()),
    Column(
        "tenant_id", Id, ForeignKey("surefoot_tenants.id")
    ),  # of the object; of the actor's key where the object has none
    Column("key_id", Id),  # none: at a shell of the installation's machine
    Column("actor", String(128), nullable=False),
    Column("act", String(32), nullable=False),
    Column("object_kind", String(16), nullable=False),
    Column("object_id", String(255), nullable=False),
    Column("job_id", Id),  # no foreign key: they outlive what they are about
    Column("part_of", Id),  # of one letter among many: the act that names the request
    Column("reason", Text),
    Column("details", Json),
    Index("ix_acts_at", "at"),  # for the relay, which deletes the oldest
    partial("ix_acts_all", "at", "id", where="part_of IS NULL"),
    partial("ix_acts_tenant", "tenant_id", "at", "id", where="part_of IS NULL"),
    partial("ix_acts_actor", "actor", "at", "id", where="part_of IS NULL"),
    partial("ix_acts_job", "job_id", "at", "id", where="job_id IS NOT NULL"),
)
