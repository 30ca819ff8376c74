"""Connections to PostgreSQL that do not wait for ever for an answer.

The server ends a statement that takes too long, and the kernel a connection whose bytes nobody
acknowledges. Neither helps when the answers are what gets lost, or when something in between takes
our bytes and passes nothing on: the driver has no bound for that. So each wait for an answer has
one here; past it the connection is closed, and the caller that waited is told as of any other
connection that broke: nobody knows whether the statement was done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

EXPIRES_BEFORE_S = 1.0  # the server gives up a statement so long before we give up the server


def connect_args(silence_s: float) -> dict[str, int]:
    """What the kernel is to notice by itself: bytes that are not acknowledged for so long, a peer
    that is gone.
    """
    return {
        "tcp_user_timeout": int(silence_s * 1000),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


def bound_responses(db: Engine, silence_s: float) -> Engine:
    """From its next connection on, this engine of PostgreSQL waits no longer than this for an
    answer.
    """
    from surefoot.app.store.listening import ListeningConnection  # loads the driver

    def connect(_dialect: Any, _record: Any, cargs: Any, cparams: Any) -> ListeningConnection:
        connection = ListeningConnection.connect(*cargs, **cparams)
        connection.silence_s = silence_s
        return connection

    event.listen(db, "do_connect", connect)
    return db


@contextmanager
def unbounded(connection: Connection) -> Iterator[None]:
    """Meanwhile this connection waits for its answers as long as they take: an index of a large
    table is minutes' work.
    """
    driver: Any = connection.connection.driver_connection
    if not hasattr(driver, "silence_s"):
        yield
        return
    usual_s, driver.silence_s = driver.silence_s, 0.0
    try:
        yield
    finally:
        driver.silence_s = usual_s
