"""A store in memory that lives in virtual time.

It is migrated once in a process, which takes a third of a second; each store after that is a copy
of a few pages.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any, cast

from sqlalchemy import Engine, create_engine, event, update
from sqlalchemy.pool import StaticPool

from surefoot.app.clock import now
from surefoot.app.store.migrate import upgrade
from surefoot.app.store.session import configure_sqlite
from surefoot.app.store.tables import periodic_runs
from surefoot.app.testkit.clock import VirtualClock


def open_memory_store(clock: VirtualClock) -> Engine:
    """A new, empty store over one connection.

    `clock`: what it takes for the time. The caller disposes of it.
    """
    migrated = _migrated()

    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.deserialize(migrated)
        clock.install(connection)

    db = _engine()
    event.listen(db, "connect", connected, insert=True)
    with db.begin() as tx:  # when the store was made: the one time in it
        tx.execute(update(periodic_runs).values(started_at=now()))
    return db


def _engine() -> Engine:
    once = {"check_same_thread": False}
    return configure_sqlite(create_engine("sqlite://", poolclass=StaticPool, connect_args=once))


@cache
def _migrated() -> bytes:
    """An empty store of this code's shape."""
    db = _engine()
    try:
        upgrade(db)
        with db.connect() as connection:
            return cast(sqlite3.Connection, connection.connection.dbapi_connection).serialize()
    finally:
        db.dispose()
