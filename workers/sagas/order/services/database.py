"""A service's own database: opened once in each process, its tables made at first use.

Several processes may start at once on an empty database, so tables are made under a lock: an
advisory lock on PostgreSQL, the writer's lock on SQLite. A process that forked gets an engine of
its own, for two processes on one connection would read each other's answers.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.schema import CreateColumn, CreateSchema

from surefoot.app.store import response_timeout
from surefoot.workers.sagas.order.settings import order_settings

BUSY_S = 10.0  # how long a statement waits for another writer
# A worker that froze in mid-transaction holds its rows; the server ends such a session, so that an
# undo can go on.
IDLE_S = 30.0
SILENCE_S = 15.0  # of PostgreSQL: no answer for so long, and its connection is given up
PREPARE_LOCK = 7_262_011_733  # any number, the same for all: one process makes tables at a time


def insert_or(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say what happens on conflict; each database has its own."""
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)


class ServiceDatabase:
    """One service's database.

    `name`: order, inventory, payment, mail or bank; `metadata`: its tables, no schema named;
    `given_up_indexes`: those that
    releases before had and this one replaces. Nothing is opened before the first transaction.
    """

    def __init__(self, name: str, metadata: MetaData, given_up_indexes: Sequence[str] = ()) -> None:
        self.name, self.metadata = name, metadata
        metadata.info["given_up_indexes"] = given_up_indexes
        self._outer: ContextVar[Connection | None] = ContextVar(f"{name} transaction", default=None)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction: READ COMMITTED on PostgreSQL, BEGIN IMMEDIATE on SQLite.

        Commits unless an error leaves it.

        Inside another one of the same database it is a savepoint of that one, so that a caller can
        commit a service's effect together with rows of its own.
        """
        outer = self._outer.get()
        if outer is not None:
            with outer.begin_nested():
                yield outer
            return
        with self.engine().begin() as connection:
            token = self._outer.set(connection)
            try:
                yield connection
            finally:
                self._outer.reset(token)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A reading transaction in which every statement sees the same moment."""
        engine = self.engine()
        options: dict[str, Any] = {"reads_only": True}
        if engine.dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with engine.connect().execution_options(**options) as connection:
            yield connection

    def engine(self) -> Engine:
        """This process's engine, its tables made."""
        url, schema = order_settings().database(self.name)
        return _opened((url, schema, self.metadata, os.getpid()))


def close_databases() -> None:
    """Close every connection of this process; the next use opens them again."""
    for key in [key for key in _engines if key[-1] == os.getpid()]:
        _engines.pop(key).dispose()


_Place = tuple[str, str, MetaData, int]  # URL, schema, tables, process
# An engine that a fork inherited stays in here, untouched: closing it would end the parent's
# connections.
_engines: dict[_Place, Engine] = {}


def _opened(place: _Place) -> Engine:
    if place in _engines:
        return _engines[place]
    url, schema, metadata, _ = place
    parsed = make_url(url)
    engine = (
        _open_sqlite(parsed)
        if parsed.get_backend_name() == "sqlite"
        else _open_postgresql(parsed, schema)
    )
    try:
        _make_tables(engine, schema, metadata)
        return _engines.setdefault(place, engine)
    finally:
        if _engines.get(place) is not engine:  # it failed, or another thread was faster
            engine.dispose()


def _open_sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        os.makedirs(os.path.dirname(os.path.abspath(url.database)), exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        _write_ahead_log(connection)
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once when another has written:
        # take the lock now.
        reads_only = connection.get_execution_options().get("reads_only")
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL; the busy time-out does not cover this switch, so wait here while
    others hold the file.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _open_postgresql(url: URL, schema: str) -> Engine:
    options = [str(url.query.get("options", "")), f"-clock_timeout={int(BUSY_S * 1000)}"]
    options.append(f"-cidle_in_transaction_session_timeout={int(IDLE_S * 1000)}")
    if schema:
        options.append(f"-csearch_path={schema}")
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        isolation_level="READ COMMITTED",
        pool_size=2,
        pool_pre_ping=True,  # a database that was restarted costs a ping, not a failed step
        connect_args={
            "options": " ".join(options).strip(),
            "connect_timeout": 5,
            "client_encoding": "utf8",
            **response_timeout.connect_args(SILENCE_S),
        },
    )
    return response_timeout.bound_responses(engine, SILENCE_S)


def _make_tables(engine: Engine, schema: str, metadata: MetaData) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": PREPARE_LOCK})
            if schema:
                connection.execute(CreateSchema(schema, if_not_exists=True))
        metadata.create_all(connection)
        _grow_tables(connection, metadata)


def _grow_tables(connection: Connection, metadata: MetaData) -> None:
    """Tables that a release before has made get what this one adds: columns with a default, and
    indexes.

    The release before runs on it: it writes the default. That is all there is for migrations here;
    a service that changes more
    needs a tool for it.
    """
    there = inspect(connection)
    for table in metadata.sorted_tables:
        columns = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                wanted = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {wanted}"))
        indexes = {str(index["name"]) for index in there.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)
        for name in indexes & set(metadata.info["given_up_indexes"]):
            connection.execute(text(f"DROP INDEX {name}"))
