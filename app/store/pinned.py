"""One connection of the pool, kept at hand for short single reads that are made all the time.

Taking a connection from the pool and putting it back costs the process as much as a short
statement. What is kept here is looked after as the pool does it: one that lay idle is put back and
another taken, one that failed is closed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, PoolProxiedConnection, event

from surefoot.app.store.session import TRUSTED_IDLE_S

_of_the_parent: list[
    tuple[PoolProxiedConnection, Any]
] = []  # never used and never closed: the parent speaks through it


class KeptConnection:
    """Given to one caller at a time, with its cursor; others get one of the pool.

    The driver commits each statement by itself.
    """

    def __init__(self, db: Engine) -> None:
        self._db = db
        self._kept: tuple[PoolProxiedConnection, Any] | None = None
        self._since = 0.0
        self._disposed = 0
        event.listen(db, "engine_disposed", self._close)
        _everyone.add(self)

    @contextmanager
    def borrow(self) -> Iterator[Any]:
        """The driver's cursor.

        A connection whose user failed is closed. Raises: what the pool or the driver raises.
        """
        disposed = self._disposed
        lent, self._kept = self._kept, None
        if lent is not None and time.monotonic() - self._since > TRUSTED_IDLE_S:
            lent[0].close()
            lent = None
        connection, cursor = lent = lent or self._another()
        try:
            yield cursor
        except BaseException:
            connection.invalidate()
            raise
        self._since = time.monotonic()
        if self._kept is None and disposed == self._disposed:
            self._kept = lent
        else:
            connection.close()

    def _another(self) -> tuple[PoolProxiedConnection, Any]:
        connection = (
            self._db.raw_connection()
        )  # the pool asks one that lay idle whether it is alive
        assert connection.driver_connection is not None
        return connection, connection.driver_connection.cursor()

    def _close(self, _db: Engine) -> None:
        self._disposed += 1
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[0].invalidate()

    def leave_to_parent(self) -> None:
        if self._kept is not None:
            _of_the_parent.append(self._kept)
            self._kept = None


_everyone: WeakSet[KeptConnection] = WeakSet()


def _leave_to_parent() -> None:
    for one in list(_everyone):
        one.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
