"""A bus inside one process, for drills and tests: what is sent reaches every service that listens
to it, in order, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, Queue

from surefoot.workers.sagas.order_choreographed.bus import Take
from surefoot.workers.sagas.order_choreographed.events import Message
from surefoot.workers.sagas.order_choreographed.service import Service


class MemoryBus:
    """Shared by all threads. A message whose taker raises comes again."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._waiting: Queue[tuple[Service, bytes]] = Queue()

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            for service in self._services:
                if message.kind in service.listens_to:
                    self._waiting.put((service, message.to_bytes()))

    def receive(self, take: Take, timeout_s: float) -> None:
        try:
            service, body = self._waiting.get(timeout=timeout_s)
        except Empty:
            return
        try:
            take(service, body)
        except BaseException:
            self._waiting.put((service, body))
            raise

    @property
    def has_messages(self) -> bool:
        return not self._waiting.empty()

    def close(self) -> None:
        """There is nothing to close."""
