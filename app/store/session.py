"""The database engine (`db`, not to be taken for app/engine), transactions and reads.

SQLite: WAL, and every writing transaction is BEGIN IMMEDIATE. With a deferred BEGIN, a transaction
that has read and then writes fails at once with "database is locked" in spite of any busy time-out,
when another wrote in between. PostgreSQL: READ COMMITTED; the guards of the statements are what
keeps order, not the isolation level.

The drivers of both are left to commit each statement by itself, and what begins a transaction is
said here: changing the mode of a connection for each single statement, as SQLAlchemy does it, costs
twice what the statement does.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from surefoot.app import metrics
from surefoot.app.addresses import driver_url
from surefoot.app.clock import now
from surefoot.app.environment import OF_LIBPQ_BY_PART, unwelcome_to_libpq
from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.store import response_timeout
from surefoot.app.store.host import MODE as MODE
from surefoot.app.store.host import READING as READING
from surefoot.app.store.host import SINGLE as SINGLE
from surefoot.app.store.host import Host, host_of

T = TypeVar("T")
TRANSACTION_TRIES = (
    5  # a serialization failure, deadlock or lock time-out repeats the whole transaction this often
)
TRUSTED_IDLE_S = 2.0  # a pooled connection that was idle for longer is asked before it is used
RETRY_WITHIN_S = 2.0  # but not when it has waited for longer than this already
PATIENCE_S = 10.0  # how long a statement waits for somebody else's lock
IDLE_IN_TRANSACTION_S = (
    10.0  # PostgreSQL ends the transaction of a process that was frozen in the middle of it
)
STATEMENT_TIMEOUT_S = 30.0  # of PostgreSQL: our statements take longer only if something is wrong
SILENCE_S = (
    STATEMENT_TIMEOUT_S + response_timeout.EXPIRES_BEFORE_S
)  # how long we wait for an answer; servers set less
CONNECT_TIMEOUT_S = 3
RETRYABLE_SQLSTATES = (
    "40001",
    "40P01",
    "55P03",
)  # serialization failure, deadlock, lock not available


def open_engine(
    url: str,
    *,
    pool_size: int = 5,
    patience_s: float = PATIENCE_S,
    connect_timeout_s: int = CONNECT_TIMEOUT_S,
    silence_s: float = SILENCE_S,
) -> Engine:
    """An engine for this URL, set up as this page's head says. The caller disposes of it.

    `patience_s`: how long to wait for somebody else's lock; a web server, which has a person
    waiting, says less.
    `silence_s`: of PostgreSQL, how long to wait for an answer before the connection is taken for
    dead.
    """
    url = driver_url(url)
    if url.startswith("sqlite"):
        return configure_sqlite(
            create_engine(url, connect_args={"timeout": patience_s, "check_same_thread": False})
        )
    parts = make_url(url)
    if unwelcome := unwelcome_to_libpq(
        {name: getattr(parts, name) or parts.query.get(name) for name in OF_LIBPQ_BY_PART}
    ):
        raise SettingsError(
            f"{unwelcome}: PostgreSQL's library would obey it; unset it, and say all in SUREFOOT_DATABASE_URL"
        )
    db = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=CONNECT_TIMEOUT_S,
        connect_args={
            "autocommit": True,
            "client_encoding": "utf8",  # whatever PGCLIENTENCODING says
            "connect_timeout": connect_timeout_s,
            "options": _options(parts.query.get("options", ""), patience_s, silence_s),
            **response_timeout.connect_args(silence_s),
        },
    )
    response_timeout.bound_responses(db, silence_s)
    event.listen(db, "begin", _begin_postgresql)
    event.listen(db, "checkin", _note_idle)
    event.listen(db, "checkout", _ping_if_idle)
    return db


def configure_sqlite(db: Engine) -> Engine:
    """Set up an engine of SQLite as this page's head says."""
    event.listen(db, "connect", _prepare_sqlite)
    event.listen(db, "begin", _begin_immediate)
    return db


def _note_idle(connection: Any, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _ping_if_idle(connection: Any, record: Any, proxy: Any) -> None:
    """A connection that lay idle may be dead.

    One that was used a moment ago is not asked: that would double its round trips.
    """
    if time.monotonic() - record.info.get("idle_since", time.monotonic()) < TRUSTED_IDLE_S:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:
        raise DisconnectionError from error  # the pool opens another


def _options(told: str | tuple[str, ...], patience_s: float, silence_s: float) -> str:
    """What the URL says, such as a search path, and ours, which win."""
    given = [told] if isinstance(told, str) else [*told]
    ours = _postgresql_settings(patience_s, silence_s)
    return " ".join([*filter(None, given), *(f"-c {name}={ours[name]}" for name in ours)])


def _postgresql_settings(patience_s: float, silence_s: float) -> dict[str, str]:
    statement_s = min(
        STATEMENT_TIMEOUT_S, max(silence_s - response_timeout.EXPIRES_BEFORE_S, silence_s / 2)
    )
    return {
        "timezone": "UTC",
        # A plan is kept: one made while a table was small would read it whole until somebody
        # analyzes it. Every query has its index.
        "enable_seqscan": "off",
        "jit": "off",
        "statement_timeout": f"{int(statement_s * 1000)}",
        "lock_timeout": f"{int(min(patience_s, statement_s) * 1000)}",
        "idle_in_transaction_session_timeout": f"{int(IDLE_IN_TRANSACTION_S * 1000)}",
    }


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred; ours is not
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    mode = connection.get_execution_options().get(MODE)
    if mode != SINGLE:
        connection.exec_driver_sql("BEGIN" if mode == READING else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    mode = connection.get_execution_options().get(MODE)
    if mode != SINGLE:
        connection.exec_driver_sql(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if mode == READING else "BEGIN"
        )


def transaction(db: Engine, work: Callable[[Connection], T], *, name: str = "") -> T:
    """Run `work` in one writing transaction and commit; repeat it whole when the database says so.

    `work` must have no effect outside the transaction. `name`: what it does, as
    `operations.complete`.
    Raises: StoreUnavailable when the database cannot be reached.
    """
    host = host_of(db)
    return _in_turn(db, host, work, lambda: host.writing(db, name))


def execute_single(db: Engine, work: Callable[[Connection], T], *, name: str = "") -> T:
    """As `transaction`, for work that is a single statement: it commits by itself, in one round
    trip instead of three.
    """
    host = host_of(db)
    return _in_turn(db, host, work, lambda: host.single(db, name))


def _in_turn(
    db: Engine,
    host: Host,
    work: Callable[[Connection], T],
    begin: Callable[[], AbstractContextManager[Connection]],
) -> T:
    if db.dialect.name == "sqlite":
        with host.one_writer:
            return _repeated(host, work, begin)
    return _repeated(host, work, begin)


def _repeated(
    host: Host,
    work: Callable[[Connection], T],
    begin: Callable[[], AbstractContextManager[Connection]],
) -> T:
    give_up_at = host.monotonic() + RETRY_WITHIN_S
    for attempt in range(1, TRANSACTION_TRIES + 1):
        try:
            metrics.reset()
            with begin() as tx:
                done = work(tx)
            metrics.flush()
            return done
        except (DBAPIError, PoolTimeout) as error:
            if retryable(error) and attempt < TRANSACTION_TRIES and host.monotonic() < give_up_at:
                host.sleep(host.random() * 0.05 * 2**attempt)
                continue
            raise map_error(error) from error
    raise AssertionError("unreachable")


def asking(db: Engine, *, name: str = "") -> AbstractContextManager[Connection]:
    """A connection for single reads: each statement sees its own moment, in one round trip."""
    return _Translating(host_of(db).asking(db, name))


def reading(db: Engine, *, name: str = "") -> AbstractContextManager[Connection]:
    """A connection for several reads that see one state of the world."""
    return _Translating(host_of(db).reading(db, name))


class _Translating(AbstractContextManager[Connection]):
    """Troubles of a connection are `map_error`. A class: a generator takes three times as long."""

    __slots__ = ("_inner",)

    def __init__(self, inner: AbstractContextManager[Connection]) -> None:
        self._inner = inner

    def __enter__(self) -> Connection:
        try:
            return self._inner.__enter__()
        except (OperationalError, PoolTimeout) as error:
            raise map_error(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            self._inner.__exit__(kind, error, where)
        except (OperationalError, PoolTimeout) as failed:
            raise map_error(failed) from failed
        if isinstance(error, (OperationalError, PoolTimeout)):
            raise map_error(error) from error


def retryable(error: Exception) -> bool:
    """Whether the same transaction may succeed when it is repeated."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return getattr(error.orig, "sqlstate", None) in RETRYABLE_SQLSTATES


def map_error(error: Exception) -> Exception:
    """StoreUnavailable when the database cannot be reached or is too busy; else the error as it is."""
    if isinstance(error, PoolTimeout) or retryable(error):
        return StoreUnavailable("the store is too busy just now")
    if isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError)
    ):
        return StoreUnavailable()
    return error


def insert_or(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say what happens on conflict; each database has its own."""
    return sqlite.insert(table) if dialect_is_sqlite(tx) else postgresql.insert(table)


def dialect_is_sqlite(tx: Connection) -> bool:
    return tx.dialect.name == "sqlite"


_TIME = select(now())


def time_of(connection: Connection) -> datetime:
    """The store's time."""
    return connection.execute(_TIME).scalar_one()
