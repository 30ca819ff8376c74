"""Tenants, API keys and sessions of browsers."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    false,
)

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.tables.base import Id, metadata, partial

tenants = Table(
    "surefoot_tenants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
)


api_keys = Table(
    "surefoot_api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("surefoot_tenants.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    # also for what is not one tenant's. A column, since a role that older code does not know ends
    # its requests
    Column("platform", Boolean, nullable=False, default=False, server_default=false()),
    Column(
        "prefix", String(12), nullable=False
    ),  # shown in lists, so that people can tell keys apart
    Column(
        "hash", String(64), nullable=False, unique=True
    ),  # SHA-256 of the key: a stolen table opens nothing
    Column("created_at", UtcDateTime, nullable=False, server_default=now()),
    Column("revoked_at", UtcDateTime),
    CheckConstraint("role IN ('user', 'operator', 'admin')", name="role"),
)


# of browsers that signed in with a key: a cookie names a row, and is worth nothing when that has
# ended
sessions = Table(
    "surefoot_sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of what the cookie holds
    Column("key_id", Id, ForeignKey("surefoot_api_keys.id"), nullable=False),
    Column("made_at", UtcDateTime, nullable=False, server_default=now()),
    Column(
        "seen_at", UtcDateTime, nullable=False, server_default=now()
    ),  # written at most once a minute
    Column("ended_at", UtcDateTime),
    Column("ended_by", String(128)),
    Column(
        "address", String(64), nullable=False
    ),  # the network of the browser, not its whole address
    Column("agent", String(120), nullable=False),
    Index("ix_sessions_made", "made_at"),  # for the relay, which deletes the oldest
    partial("ix_sessions_open", "made_at", "id", where="ended_at IS NULL"),
    partial("ix_sessions_open_key", "key_id", "made_at", "id", where="ended_at IS NULL"),
)
