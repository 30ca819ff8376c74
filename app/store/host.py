"""What the engine takes from the process it runs in: time, chance, ids, and ways to the database.

The host travels with the database, as an option of SQLAlchemy's engine: a function that has `db` or
a transaction of it has its host. Production sets none and has this process's own (`HERE`). The
simulation gives its database a host of its own: time is virtual, chance comes from a seed, and each
transaction is a point where a process may be stopped.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import uuid_utils
from sqlalchemy import Connection, Engine

T = TypeVar("T")
OPTION = "surefoot_host"  # of an engine: its host, where that is not this process
MODE = "surefoot_mode"  # of a connection: none is a writing transaction
SINGLE, READING = "single", "reading"


class Host:
    """This process, on this machine."""

    def __init__(self) -> None:
        # SQLite's own wait for a lock polls, and is not fair: among sixteen threads one waited for
        # two seconds. Here they take turns.
        self.one_writer: AbstractContextManager[Any] = threading.Lock()
        self._remembered: dict[Callable[[], Any], Any] = {}

    # --- time, chance and ids ---------------------------------------------------------------------
    def monotonic(self) -> float:
        """Seconds that only grow, for waiting and for limits."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def random(self) -> float:
        """A number from 0 to 1."""
        return random.random()

    def new_id(self) -> str:
        """A new UUIDv7 as text."""
        return str(uuid_utils.uuid7())

    def new_token(self) -> str:
        """The name of one claim: no two are alike."""
        return secrets.token_hex(8)

    def remembered(self, kind: Callable[[], T]) -> T:
        """The one `kind` that this process keeps in memory, made when it is first asked for."""
        made: T | None = self._remembered.get(kind)
        return self._remembered.setdefault(kind, kind()) if made is None else made

    def forget(self) -> None:
        """Another process begins."""
        self._remembered.clear()

    # --- the database -----------------------------------------------------------------------------
    def writing(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        """A writing transaction. `name`: what it does, as `operations.complete`."""
        return db.begin()

    def single(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        """A connection for one statement, which commits by itself."""
        return connected(db, SINGLE)

    def asking(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        """A connection for reads, each of its own moment."""
        return connected(db, SINGLE)

    def reading(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        """A connection for several reads of one moment."""
        return connected(db, READING)


class connected(AbstractContextManager[Connection]):  # noqa: N801 - reads as a function
    """A connection in this mode."""

    __slots__ = ("_connection", "_db", "_mode")

    def __init__(self, db: Engine, mode: str) -> None:
        self._db, self._mode = db, mode

    def __enter__(self) -> Connection:
        self._connection = self._db.connect()
        return self._connection.execution_options(**{MODE: self._mode})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._connection.__exit__(kind, error, where)


HERE = Host()


def _unlock_in_child() -> None:
    HERE.one_writer = threading.Lock()  # the thread that held it stayed in the parent


os.register_at_fork(after_in_child=_unlock_in_child)


def host_of(bind: Engine | Connection) -> Host:
    """The host of a database, or of a transaction of it."""
    host: Host = bind.engine.get_execution_options().get(OPTION, HERE)
    return host


def living_in(db: Engine, host: Host) -> Engine:
    """The same database, as seen from this host."""
    return db.execution_options(**{OPTION: host})
