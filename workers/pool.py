"""A pool of children. A retired child takes no further work and is replaced by a new one.

The way is that of Celery's own limits (tasks, memory): the child ends between two messages, and
what was already on its way to it goes to another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from billiard.pool import EX_RECYCLE
from celery.concurrency import asynpool, prefork

from surefoot.workers import leftovers

CONSUMED_S = 2.0


class Worker(asynpool.Worker):
    """What runs in a child."""

    def _make_protected_receive(self, conn: Any) -> Callable[[], Any]:
        receive = super()._make_protected_receive(conn)

        def unless_retired() -> Any:
            if not leftovers.fit():
                raise SystemExit(EX_RECYCLE)
            return receive()

        return unless_retired

    def _ensure_messages_consumed(self, completed: int) -> bool:
        """Celery waits for up to half a minute that its main process has read every result; a pipe
        keeps them that long by itself.
        """
        if leftovers.fit() or self.on_ready_counter is None:
            return bool(super()._ensure_messages_consumed(completed))
        until = time.monotonic() + CONSUMED_S
        while self.on_ready_counter.value < completed and time.monotonic() < until:
            time.sleep(0.05)
        return bool(self.on_ready_counter.value >= completed)


class Pool(asynpool.AsynPool):
    """The pool beneath the event loop."""

    Worker = Worker


class TaskPool(prefork.TaskPool):
    """As Celery's, with our children."""

    Pool = Pool
