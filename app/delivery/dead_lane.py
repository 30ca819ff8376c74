"""The lane `dead`: a queue that shows on the broker what is given up.

Nobody consumes it. What counts is the store's table; this is its shadow, written by the relay
alone, so that the depth in Flower, redis-cli or RabbitMQ's own page is the number of open dead
letters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kombu.entity import Exchange, Queue
from kombu.messaging import Producer

from surefoot.app.delivery import amqp
from surefoot.app.delivery.connection import Connection
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.queues import on_broker
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.saga.naming import DEAD_LANE

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 1.0


class DeadLane:
    """The queue of one broker.

    Its connection is opened at the first question and anew after trouble. Safe in threads.

    Every call may raise BrokerUnavailable.
    """

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._lock = threading.Lock()
        self._name = on_broker(DEAD_LANE)
        if amqp.is_amqp(url):
            options = amqp.transport_options(
                timeout_s, confirm=False
            )  # what got lost is put there again: the depth tells
            self._connection: Any = Connection(
                url, connect_timeout=timeout_s, transport_options=options
            )  # type: ignore[no-untyped-call]
            self._queue: Any = amqp.queue(self._name)
        else:
            self._connection = producer_app(url, "relay").connection_for_write()
            self._queue = Queue(
                self._name,
                Exchange(self._name, type="direct"),  # type: ignore[no-untyped-call]
                routing_key=self._name,
            )

    def depth(self) -> int:
        """How many messages are in it."""
        return self._ask(lambda channel: int(self._queue(channel).queue_declare().message_count))

    def append(self, bodies: Sequence[dict[str, Any]]) -> None:
        """Put these behind what is there."""
        self._ask(lambda channel: self._send(channel, bodies))

    def replace(self, bodies: Sequence[dict[str, Any]]) -> None:
        """These and nothing else."""

        def work(channel: Any) -> None:
            bound = self._queue(channel)
            bound.queue_declare()
            bound.purge()
            self._send(channel, bodies)

        self._ask(work)

    def close(self) -> None:
        with self._lock:
            self._connection.release()

    def _send(self, channel: Any, bodies: Sequence[dict[str, Any]]) -> None:
        producer = Producer(channel, serializer="json")  # type: ignore[no-untyped-call]
        for body in (
            bodies
        ):  # by the exchange that every broker has: it has no binding that a broker could lose
            producer.publish(body, exchange="", routing_key=self._name, retry=False)  # type: ignore[no-untyped-call]

    def _ask(self, work: Callable[[Any], T]) -> T:
        with self._lock:
            trouble = (
                *self._connection.connection_errors,
                *self._connection.channel_errors,
                OSError,
            )
            try:
                self._connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                with self._connection.channel() as channel:
                    return work(channel)
            except trouble as error:
                self._connection.collect()
                raise BrokerUnavailable(f"the broker does not answer: {error!r}") from error
