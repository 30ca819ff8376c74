"""Publishing that cannot hurt: no exception, no long wait, and silence for a while after a failure.

The publisher has committed first, so a message that does not leave costs a second of the sweep, not
a job. A broker that is stopped refuses at once; a frozen one holds the caller until its socket
times out, so after one failure nobody tries for `pause_s`: a thousand requests during an outage
cost one time-out, not a thousand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery
from celery.canvas import Signature

from surefoot.app.delivery.canvas import to_canvas
from surefoot.app.metrics.counters import NOT_PUBLISHED, PUBLISHED
from surefoot.app.rules.planner import Plan, leaving

log = structlog.get_logger(__name__)


class Publisher:
    """Publishes through one Celery app. Safe in threads; a forked child makes its own."""

    def __init__(
        self, app: Celery, pause_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app = app
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._silent_until = float("-inf")
        self._down = False

    @property
    def paused(self) -> bool:
        """Whether a publish now would be refused without a try."""
        return self._clock() < self._silent_until

    def publish(self, plan: Plan) -> bool:
        """Publish every canvas of the plan, in order.

        False: the broker was not reached, and some may have left.
        """
        return not plan or self._counted(len(leaving(plan)), self.guarded(lambda: self._send(plan)))

    def warm(self) -> bool:
        """Connect before the first message: the first connection costs more than a request may
        wait.
        """
        return self.guarded(self._connect)

    def go_on(self, following: Signature, **options: Any) -> bool:
        """Publish one signature that a delivery carries (the next of its chain, the body of its
        chord).
        """
        return self._counted(
            1, self.guarded(lambda: following.apply_async((), add_to_parent=False, **options))
        )

    @staticmethod
    def _counted(messages: int, sent: bool) -> bool:
        (PUBLISHED if sent else NOT_PUBLISHED).add(messages)
        return sent

    def guarded(self, send: Callable[[], Any]) -> bool:
        """Call `send` unless paused; whatever it raises is trouble of the broker and starts a
        pause.
        """
        if self.paused:
            return False
        try:
            send()
        except Exception as error:  # kombu, redis, amqp and socket errors have no common base
            self._failed(error)
            return False
        self._worked()
        return True

    def _connect(self) -> None:
        with self.app.producer_pool.acquire(block=True) as producer:
            _ = producer.channel  # asking for it opens the connection

    def _send(self, plan: Plan) -> None:
        for canvas in to_canvas(self.app, plan):
            canvas.apply_async(add_to_parent=False)

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._silent_until = self._clock() + self._pause_s
            first, self._down = not self._down, True
        if first:  # one line for each change of state, however long it lasts
            log.warning("broker.unreachable", error=repr(error), pause_s=self._pause_s)

    def _worked(self) -> None:
        if self._down:
            with self._lock:
                was_down, self._down = self._down, False
            if was_down:
                log.info("broker.reachable")
