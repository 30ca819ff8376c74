"""A job as a part of the caller's own transaction.

The rows go through the caller's connection, in a savepoint of their own: what is refused leaves the
transaction as it was. The connection has to be to the store's database; where the store's tables
are in a schema of their own, the search path leads there for as long as the statements run.
SQLAlchemy tells of a commit before it happens, so a thread looks for the job until it is there, and
publishes then; what it misses is the relay's.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from surefoot.app.embedded.client import Client
from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.errors import RequestError, StoreUnavailable
from surefoot.app.store.session import asking, retryable
from surefoot.app.store.tables import jobs

log = structlog.get_logger(__name__)
SEEN_WITHIN_S = 2.0  # after the commit began; the relay has it by then
LOOK_S = 0.005
_PLACE = text(
    "SELECT current_database() AS name, (SELECT system_identifier FROM pg_control_system()) AS cluster,"
    " (SELECT oid FROM pg_database WHERE datname = current_database()) AS database"
)
_SCHEMA = text(
    "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = to_regclass('surefoot_jobs')"
)
_PATH = text("SELECT set_config('search_path', :path, true)")


@dataclass(frozen=True)
class Place:
    """Where a connection leads: `name`, for people, and what is the same only for the same
    database.
    """

    name: str
    identity: tuple[Any, ...]


@contextmanager
def joined(here: Client, given: Any) -> Iterator[Connection]:
    """The caller's connection, fit for our statements; a failure inside undoes them and nothing
    else.

    Raises: RequestError for what is not a connection to the store's database, or commits by itself.
    """
    connection = _connection(given)
    _check_place(here.db, connection)
    if connection.dialect.name == "sqlite":
        _begin_sqlite(connection)
    path = _store_schema(here.db) if connection.dialect.name == "postgresql" else ""
    try:
        with connection.begin_nested():
            if not path:
                yield connection
                return
            before = connection.execute(text("SELECT current_setting('search_path')")).scalar_one()
            connection.execute(_PATH, {"path": path})
            yield connection
            connection.execute(_PATH, {"path": before})
    except DBAPIError as error:
        if retryable(error):
            raise StoreUnavailable(
                "the store is too busy just now; run the whole transaction again"
            ) from error
        raise


def _connection(given: Any) -> Connection:
    if isinstance(given, (Session, scoped_session)):
        given = given.connection()
    if not isinstance(given, Connection):
        raise RequestError(
            f"connection= takes a Connection or Session of SQLAlchemy, not {type(given).__name__};"
            " with an AsyncSession: await session.run_sync(lambda s: submit(..., connection=s))"
        )
    return given


def _check_place(db: Engine, connection: Connection) -> None:
    if connection.dialect.name == "postgresql" and _commits_by_itself(connection):
        raise RequestError("this connection commits each statement by itself; begin a transaction")
    theirs = place(connection)
    with asking(db) as own:
        ours = place(own)
    if theirs.identity != ours.identity:
        raise RequestError(
            f"the connection is to {theirs.name}, and the store is in {ours.name}"
            " (SUREFOOT_DATABASE_URL): a job can only be part of a transaction in the store's"
            " database. Submit after the commit, with key="
        )


def place(connection: Connection) -> Place:
    """Which database this is. Raises: RequestError for one that is neither SQLite nor PostgreSQL."""
    kind = connection.dialect.name
    if kind == "postgresql":
        row = connection.execute(_PLACE).one()
        return Place(f"PostgreSQL's database {row.name}", (kind, row.cluster, row.database))
    if kind == "sqlite":
        files = connection.exec_driver_sql("PRAGMA database_list").all()
        file = next((str(row[2]) for row in files if row[1] == "main"), "")
        if not file or not os.path.exists(file):
            return Place("a SQLite database in memory", (kind, id(connection)))
        found = os.stat(file)
        return Place(f"SQLite's file {file}", (kind, found.st_dev, found.st_ino))
    raise RequestError(f"a store is never in a database of kind {kind}: submit after the commit")


def _commits_by_itself(connection: Connection) -> bool:
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def _begin_sqlite(connection: Connection) -> None:
    """Python's driver begins with the first write; a savepoint before that would commit when it is
    released.
    """
    if not getattr(connection.connection.dbapi_connection, "in_transaction", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _store_schema(db: Engine) -> str:
    """The schema of the store's tables, quoted."""
    with asking(db) as own:
        return str(own.execute(_SCHEMA).scalar_one())


# --- after the commit -----------------------------------------------------------------------------
def publish_after_commit(here: Client, connection: Connection, submitted: Submitted) -> None:
    """Publish when the transaction that this connection is in has committed; nothing when it is
    rolled back.
    """
    if not submitted.plan or here.publisher is None:
        return
    for moment in ("commit", "commit_twophase"):
        event.listen(connection, moment, lambda *_: _watcher.look_for(here, submitted), once=True)


class Watcher:
    """A thread that waits until jobs are seen in the store, and publishes them.

    It ends with its process.
    """

    def __init__(self) -> None:
        self._line: queue.SimpleQueue[tuple[Client, Submitted, float]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def look_for(self, here: Client, submitted: Submitted) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="surefoot", daemon=True)
                self._thread.start()
        self._line.put((here, submitted, time.monotonic() + SEEN_WITHIN_S))

    def _run(self) -> None:
        while True:
            here, submitted, until = self._line.get()
            try:
                if _seen(here.db, submitted.job_id, until):
                    here.publish(submitted.plan)
            except Exception as error:  # the relay publishes it
                log.info("publish_left_to_relay", job=submitted.job_id, error=repr(error))


def _seen(db: Engine, job_id: str, until: float) -> bool:
    pause_s = LOOK_S
    query = select(jobs.c.id).where(jobs.c.id == job_id)
    while True:
        with asking(db) as connection:
            if connection.execute(query).first() is not None:
                return True
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)


_watcher = Watcher()


def _begin_in_child() -> None:
    global _watcher
    _watcher = Watcher()


os.register_at_fork(after_in_child=_begin_in_child)
