"""Connections to PostgreSQL that do not wait for ever for an answer.

The server ends a statement that takes too long, and the kernel a connection whose bytes nobody acknowledges. Neither
helps when the answers are what gets lost, or when something in between takes our bytes and passes nothing on: the driver
has no bound for that. So each wait for an answer has one here; past it the connection is closed, and the caller that
waited is told as of any other connection that broke: nobody knows whether the statement was done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

EXPIRES_BEFORE_S = 1.0  # the server gives up a statement so long before we give up the server
LOOK_S = 0.1  # the driver's own: how often a wait looks whether it was interrupted


class StoreSilent(psycopg.OperationalError):
    """The database took the statement and did not answer in time."""


class ListeningConnection(psycopg.Connection[Any]):
    """`silence_s`: how long it waits for an answer."""

    silence_s: float = 0.0

    def wait(self, gen: Any, interval: float = LOOK_S, timeout: float | None = None) -> Any:
        """As the driver's own, which bounds a wait only where it was told to."""
        bound_s = timeout if timeout is not None else self.silence_s or None
        began = time.monotonic()
        try:
            return super().wait(gen, interval, bound_s)
        except psycopg.OperationalError as error:
            if (
                timeout is not None
                or not self.silence_s
                or self.pgconn.status != psycopg.pq.ConnStatus.OK
            ):
                raise
            if error.sqlstate is not None or time.monotonic() - began < self.silence_s:
                raise
            self.pgconn.finish()  # an answer that comes later must not be taken for the next one's
            raise StoreSilent(f"no answer within {self.silence_s:g} s") from error


def connect_args(silence_s: float) -> dict[str, int]:
    """What the kernel is to notice by itself: bytes that are not acknowledged for so long, a peer that is gone."""
    return {
        "tcp_user_timeout": int(silence_s * 1000),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


def listen_within(db: Engine, silence_s: float) -> Engine:
    """From its next connection on, this engine of PostgreSQL waits no longer than this for an answer."""

    def connect(_dialect: Any, _record: Any, cargs: Any, cparams: Any) -> ListeningConnection:
        connection = ListeningConnection.connect(*cargs, **cparams)
        connection.silence_s = silence_s
        return connection

    event.listen(db, "do_connect", connect)
    return db


@contextmanager
def borne(connection: Connection) -> Iterator[None]:
    """Meanwhile this connection waits for its answers as long as they take: an index of a large table is minutes' work."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, ListeningConnection):
        yield
        return
    usual_s, driver.silence_s = driver.silence_s, 0.0
    try:
        yield
    finally:
        driver.silence_s = usual_s
