"""The definitions of sagas and their graphs."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from surefoot.app.clock import UtcDateTime
from surefoot.app.store.tables.base import metadata
from surefoot.app.store.types import Json

definitions = Table(  # the catalogue: what some process has had the code of
    "surefoot_definitions",
    metadata,
    Column("digest", String(16), primary_key=True),
    Column("saga", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("graph", Json, nullable=False),
    Column(
        "words", Json
    ),  # what people read of it, as the newest registration says it; no part of the digest
    Column("input_schema", Json, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),  # when some process first had it
    Column(
        "served_at", UtcDateTime
    ),  # when a live worker last had it (`definitions.order_of_definitions`)
    Column("retired_at", UtcDateTime),  # no new job is pinned to it
    Column(
        "retired_by", String(128)
    ),  # of the last word: where `retired_at` is null, of who took it back into use
    Column("retired_why", Text),
    Index("ix_definitions_saga", "saga", "version"),
)


edges = Table(  # the pinned graph and its transitive closure
    "surefoot_edges",
    metadata,
    Column("digest", String(16), ForeignKey("surefoot_definitions.digest"), nullable=False),
    Column("before", String(64), nullable=False),
    Column("after", String(64), nullable=False),
    Column("direct", Boolean, nullable=False),
    PrimaryKeyConstraint("digest", "before", "after"),
)
