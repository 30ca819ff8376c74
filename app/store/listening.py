"""A connection of psycopg's that bounds each wait for an answer: see `response_timeout`.

Apart from it, since only what talks to PostgreSQL loads the driver, which takes about a twentieth
of the start of a process.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

LOOK_S = 0.1  # the driver's own: how often a wait looks whether it was interrupted


class StoreTimeout(psycopg.OperationalError):
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
            raise StoreTimeout(f"no answer within {self.silence_s:g} s") from error
