"""The topic exchange `order.events`: an event's name is its routing key, each service has one queue
bound to what it hears. Their names on the broker begin with SUREFOOT_QUEUE_PREFIX.

RabbitMQ confirms each publish and keeps quorum queues. Redis has no exchanges: kombu keeps the
bindings in a set, which a flush deletes with everything else, and drops what is published
meanwhile. So bindings are declared anew every `DECLARE_S`, and what was dropped is asked for again
by the service that misses it. Our keys have a prefix of their own: the messages that Celery's
workers hold are put back by Celery's time-out, not by ours.

One connection belongs to one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from kombu.entity import Exchange, Queue, binding
from kombu.messaging import Consumer, Producer

from surefoot.app.delivery import amqp
from surefoot.app.delivery.connection import Connection
from surefoot.app.delivery.queues import on_broker
from surefoot.workers.sagas.order_choreographed.events import EXCHANGE, Message
from surefoot.workers.sagas.order_choreographed.service import Service

DECLARE_S = 2.0
VISIBILITY_S = 60.0  # after it Redis gives a message that nobody acknowledged to somebody else
SOCKET_S = 5.0
CONNECT_S = 2.0
PREFIX = "order.events/"

Take = Callable[[Service, bytes], None]


class BusDown(Exception):
    """The broker cannot be reached, or the connection broke."""


class Bus(Protocol):
    """What the services need of a broker."""

    def send(self, messages: Sequence[Message]) -> None:
        """Publish them, in order. Raises: BusDown; some may have left."""

    def receive(self, take: Take, timeout_s: float) -> None:
        """Wait up to `timeout_s` for one message and hand it over; acknowledged when `take`
        returns. The same `take` each time.

        Raises: BusDown; what `take` raises, and then the message comes again.
        """

    def close(self) -> None: ...


class KombuBus:
    """A connection to Redis or RabbitMQ.

    `services`: whose queues are consumed; `all_services`: whose are declared.
    """

    def __init__(
        self, url: str, services: Sequence[Service], all_services: Sequence[Service]
    ) -> None:
        self._connection: Any = Connection(
            url, connect_timeout=CONNECT_S, transport_options=_options(url)
        )  # type: ignore[no-untyped-call]
        self._queues = {service.queue: _queue(url, service) for service in all_services}
        self._services = tuple(services)
        self._exchange = Exchange(on_broker(EXCHANGE), type="topic", durable=True)  # type: ignore[no-untyped-call]
        self._consumers: list[Any] = []
        self._producer: Any = None
        self._declared_at = float("-inf")

    def send(self, messages: Sequence[Message]) -> None:
        with _Trouble(self):
            self._prepare()
            if self._producer is None:
                self._producer = Producer(
                    self._connection.default_channel, self._exchange, auto_declare=False
                )  # type: ignore[no-untyped-call]
            for message in messages:
                self._producer.publish(
                    message.to_bytes(),
                    routing_key=message.kind,
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=2,
                    message_id=message.id,
                    correlation_id=message.job,
                    retry=False,
                )

    def receive(self, take: Take, timeout_s: float) -> None:
        with _Trouble(self):
            self._prepare()
            if not self._consumers:
                self._consumers = [self._consume(service, take) for service in self._services]
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=timeout_s)

    def _consume(self, service: Service, take: Take) -> Any:
        def arrived(message: Any) -> None:
            take(
                service,
                message.body if isinstance(message.body, bytes) else str(message.body).encode(),
            )
            message.ack()

        consumer: Any = Consumer(  # type: ignore[no-untyped-call]
            self._connection.default_channel,
            [self._queues[service.queue]],
            auto_declare=False,
            prefetch_count=1,
            on_message=arrived,  # the raw message: what it claims to be is not believed
        )
        consumer.consume()
        return consumer

    def close(self) -> None:
        self._forget()
        with suppress(Exception):
            self._connection.release()

    def _prepare(self) -> None:
        """Connect, and see that every queue is there and bound."""
        self._connection.ensure_connection(
            max_retries=1, interval_start=0, reraise_as_library_errors=False
        )
        if time.monotonic() - self._declared_at < DECLARE_S:
            return
        for queue in self._queues.values():
            bound: Any = queue(self._connection.default_channel)
            bound.declare()
        self._declared_at = time.monotonic()

    def _forget(self) -> None:
        self._consumers, self._producer = [], None
        self._declared_at = float("-inf")
        with suppress(Exception):
            self._connection.collect()


class _Trouble:
    """Turns what a transport raises into BusDown, and forgets the connection."""

    def __init__(self, bus: KombuBus) -> None:
        self._bus = bus

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        connection = self._bus._connection
        # also what a handler raised: a connection that is closed gives its message back
        self._bus._forget()
        if isinstance(error, (*connection.connection_errors, *connection.channel_errors, OSError)):
            raise BusDown(repr(error)) from error


def _options(url: str) -> dict[str, Any]:
    if amqp.is_amqp(url):
        return amqp.transport_options(SOCKET_S, confirm=True)
    return {
        "global_keyprefix": on_broker(PREFIX),
        "visibility_timeout": VISIBILITY_S,
        "priority_steps": [0],
        "socket_timeout": SOCKET_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        "retry_on_timeout": False,
        "max_retries": 0,
    }


def _queue(url: str, service: Service) -> Queue:
    exchange = Exchange(on_broker(EXCHANGE), type="topic", durable=True)  # type: ignore[no-untyped-call]
    arguments = (
        {"x-queue-type": "quorum", "x-delivery-limit": amqp.DELIVERY_LIMIT}
        if amqp.is_amqp(url)
        else None
    )
    bindings = [binding(exchange, routing_key=key) for key in service.listens_to]  # type: ignore[no-untyped-call]
    return Queue(
        on_broker(service.queue), bindings=bindings, durable=True, queue_arguments=arguments
    )  # type: ignore[no-untyped-call]
