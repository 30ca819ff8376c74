"""A participant's database with a barrier and one table of effects, on a real SQLite file and on real PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)

from surefoot.app.participant import barrier_table
from tests.support.waiting import wait_until

metadata = MetaData()
barrier_table(metadata)
effects = Table(
    "effects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("what", String(20), nullable=False),
)


@dataclass(frozen=True)
class Ask:
    """The part of a step's context that a barrier reads."""

    kind: str = "action"
    fence: int = 1
    step: str = "reserve_stock"

    @property
    def key(self) -> str:
        return f"job-1:{self.step}::{self.kind}"

    @property
    def action_key(self) -> str:
        return f"job-1:{self.step}::action"


@dataclass(frozen=True)
class Participant:
    engine: Engine

    def write(self, tx: Connection, what: str) -> None:
        tx.execute(insert(effects).values(what=what))

    def count(self, what: str) -> int:
        with self.engine.begin() as tx:
            return tx.execute(select(func.count()).where(effects.c.what == what)).scalar_one()

    def wait_for_a_waiter(self) -> None:
        """Until another connection waits for a lock. SQLite cannot tell; there the test only gains less certainty."""
        if self.engine.dialect.name == "postgresql":
            query = text(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
            with self.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            ) as watcher:  # else it sees one moment
                wait_until(
                    lambda: watcher.execute(query).scalar_one(),
                    what="a connection that waits for a lock",
                )


@pytest.fixture
def participant(store_url: str) -> Iterator[Participant]:
    engine = create_engine(
        store_url, connect_args={"timeout": 20} if store_url.startswith("sqlite") else {}
    )
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _manual(connection: sqlite3.Connection, record: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode = WAL")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    metadata.create_all(engine)
    yield Participant(engine)
    engine.dispose()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def ask() -> type[Ask]:
    return Ask
