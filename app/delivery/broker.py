"""What the engine asks a broker besides taking messages: are you there, how deep is a lane, do you
remember us?

The marker is a key we put there, on RabbitMQ a queue. When it is gone the broker has lost
everything (a flush, a restart without its file), or our queues have another prefix now; either way
every queued operation has to be rung again. Queues are named by their lanes here: the prefix is put
on in this module. Each question is bounded by a time-out and raises only `BrokerUnavailable`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import redis
from amqp import exceptions as amqp_errors

from surefoot.app.delivery import amqp
from surefoot.app.delivery.connection import Connection
from surefoot.app.delivery.queues import on_broker
from surefoot.app.errors import BrokerUnavailable, SettingsError

T = TypeVar("T")
MARKER = "marker"  # with the prefix of our queues: another prefix has its own
DEFAULT_TIMEOUT_S = 1.0


class BrokerProbe(Protocol):
    """One broker. Every call but `ping` and `close` may raise BrokerUnavailable."""

    def ping(self) -> bool:
        """Whether the broker answers now."""

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        """queue -> messages that wait in it (not those a worker holds)."""

    def marker(self) -> str | None:
        """A text when we have left our mark (Redis: the value put there last), or None when the
        broker has none.
        """

    def set_marker(self, value: str) -> None:
        """Leave a mark in the broker that lives as long as its messages do."""

    def close(self) -> None:
        """Close its connections."""


class RedisProbe:
    """A probe of Redis or Valkey. Connections are pooled; safe in threads."""

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._server: Any = None  # the name that a Redis gives itself at each start
        self._client = redis.Redis.from_url(
            redis_url(url),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=None,
            health_check_interval=0,
            decode_responses=True,
        )

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (redis.exceptions.RedisError, OSError) as error:
            raise BrokerUnavailable(f"the broker does not answer: {error!r}") from error

    def ping(self) -> bool:
        try:
            return bool(self._ask(self._client.ping))
        except BrokerUnavailable:
            return False

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        def question() -> list[int]:
            with self._client.pipeline(transaction=False) as pipe:
                for queue in queues:
                    pipe.llen(on_broker(queue))
                return list(pipe.execute())

        return dict(zip(queues, self._ask(question), strict=True)) if queues else {}

    def marker(self) -> str | None:
        """Raises: BrokerUnavailable, also once when the server was started anew since the last
        question.

        A restart of a second is over before anybody asks again, and may have cost the last second
        of messages all the same.
        """
        found, server = self._ask(self._marker_and_server)
        before, self._server = self._server, server
        if before not in (None, server):
            raise BrokerUnavailable("the broker was started anew")
        return None if found is None else str(found)

    def _marker_and_server(self) -> tuple[Any, Any]:
        with self._client.pipeline(transaction=False) as pipe:
            pipe.get(on_broker(MARKER))
            pipe.info("server")
            found, about = pipe.execute(raise_on_error=False)
        if isinstance(found, Exception):
            raise found
        return found, about.get("run_id") if isinstance(
            about, dict
        ) else None  # a Redis may allow us no INFO

    def set_marker(self, value: str) -> None:
        self._ask(lambda: self._client.set(on_broker(MARKER), value))

    def close(self) -> None:
        self._client.close()


class AmqpProbe:
    """A probe of RabbitMQ: one connection, opened at the first question and anew after trouble.

    Safe in threads.
    """

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._lock = threading.Lock()
        options = amqp.transport_options(timeout_s, confirm=False)
        self._connection: Any = Connection(
            url, connect_timeout=timeout_s, transport_options=options
        )  # type: ignore[no-untyped-call]

    def _ask(self, question: Callable[[Any], T]) -> T:
        with self._lock:
            try:
                self._connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                with self._connection.channel() as channel:
                    return question(channel)
            except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
                self._connection.collect()
                raise BrokerUnavailable(f"the broker does not answer: {error!r}") from error

    def ping(self) -> bool:
        try:
            return self._ask(lambda channel: True)
        except BrokerUnavailable:
            return False

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        return {queue: self._ask(partial(_waiting, on_broker(queue))) or 0 for queue in queues}

    def consumers(self, queue: str) -> int:
        """How many consumers this queue has, ours and others."""
        return self._ask(partial(_consumers, on_broker(queue)))

    def marker(self) -> str | None:
        name = on_broker(MARKER)
        return None if self._ask(partial(_waiting, name)) is None else name

    def set_marker(self, value: str) -> None:
        arguments = {"x-queue-type": "quorum"}  # it goes where the messages go
        self._ask(
            lambda channel: channel.queue_declare(
                on_broker(MARKER), durable=True, auto_delete=False, arguments=arguments
            )
        )

    def close(self) -> None:
        with self._lock:
            self._connection.release()


def _waiting(queue: str, channel: Any) -> int | None:
    """How many messages wait in a queue; None when there is no such queue (the channel is closed
    then).
    """
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except amqp_errors.NotFound:
        return None


def _consumers(queue: str, channel: Any) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).consumer_count)
    except amqp_errors.NotFound:
        return 0


def redis_url(url: str) -> str:
    """kombu's spelling of a Redis URL as redis-py's: sockets are `redis+socket://` there and
    `unix://` here.
    """
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss", "unix"):
        return url
    if parts.scheme in ("redis+socket", "socket"):
        db = parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/")
        auth = f"{parts.username or ''}:{parts.password}@" if parts.password else ""
        return f"unix://{auth}{parts.path}?db={db or 0}"
    raise SettingsError(
        f"BROKER_URL: no support for brokers of kind {parts.scheme!r}; use redis://host:port/db or amqp://user:password@host/"
    )


def probe(url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> BrokerProbe:
    """A probe for the broker of this URL.

    Raises: SettingsError for a broker that is not supported.
    """
    return AmqpProbe(url, timeout_s) if amqp.is_amqp(url) else RedisProbe(url, timeout_s)


def ping(url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
    """Whether the broker of this URL answers within `timeout_s` (one connection, closed again)."""
    once = probe(url, timeout_s)
    try:
        return once.ping()
    finally:
        once.close()


def depth(url: str, queues: Sequence[str], timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, int]:
    """queue -> waiting messages. Raises: BrokerUnavailable."""
    once = probe(url, timeout_s)
    try:
        return once.depth(queues)
    finally:
        once.close()


def marker(url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> str | None:
    """The broker's marker. Raises: BrokerUnavailable."""
    once = probe(url, timeout_s)
    try:
        return once.marker()
    finally:
        once.close()


def set_marker(url: str, value: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
    """Set the broker's marker. Raises: BrokerUnavailable."""
    once = probe(url, timeout_s)
    try:
        once.set_marker(value)
    finally:
        once.close()
