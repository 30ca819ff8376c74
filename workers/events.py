"""Flower's events of operations that were run on to.

Celery's main process tells of messages: received, started, succeeded. An operation that a delivery
ran on to has no message of its own, so the child tells of it. Events are kept for a moment and sent
by a thread, many in one message, over the publisher's impatient connections: no step ever waits for
its events, and while the broker is away they are dropped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import structlog

from surefoot.app.delivery.publisher import Publisher

log = structlog.get_logger(__name__)
KEPT = 1000  # events; when more wait, the oldest go
GATHER_S = 0.2  # how long events are gathered


class EventBuffer:
    """One for each child. `tell` never waits and never raises."""

    def __init__(self, publisher: Publisher, hostname: str) -> None:
        self._publisher = publisher
        self._hostname = hostname
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=KEPT)
        self._wake = threading.Event()
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def tell(self, kind: str, **fields: Any) -> None:
        """Keep one event; its time is now."""
        self._waiting.append((kind, {"timestamp": time.time(), **fields}))
        self._wake.set()

    def flush(self) -> bool:
        """Send what waits. False: it could not be sent and is gone."""
        events = [self._waiting.popleft() for _ in range(len(self._waiting))]
        return not events or self._publisher.guarded(lambda: self._send(events))

    def _send(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        app = self._publisher.app
        with app.producer_pool.acquire(block=True) as producer:
            dispatcher = app.events.Dispatcher(
                producer.connection, hostname=self._hostname, channel=producer.channel, buffer_while_offline=False,
                buffer_group={"task"}, buffer_limit=KEPT,
            )  # fmt: skip
            for kind, fields in events:
                dispatcher.send(kind, **fields)
            dispatcher.flush(errors=False)

    def _run(self) -> None:
        halt = threading.Event()
        while True:
            self._wake.wait()
            halt.wait(GATHER_S)
            self._wake.clear()
            self.flush()
