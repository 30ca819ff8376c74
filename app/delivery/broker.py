"""What the engine asks a broker besides taking messages: are you there, how deep is a lane, do you remember us?

The marker is a key we put there. When it is gone the broker has lost everything (a flush, a restart without its
file), so every queued operation has to be rung again. Each question is bounded by a time-out and raises only
`BrokerUnavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import redis

from app.errors import BrokerUnavailable, SettingsError

MARKER_KEY = "surefoot:marker"
DEFAULT_TIMEOUT_S = 1.0


class BrokerProbe(Protocol):
    """One broker. Every call but `ping` and `close` may raise BrokerUnavailable."""

    def ping(self) -> bool:
        """Whether the broker answers now."""

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        """queue -> messages that wait in it (not those a worker holds)."""

    def marker(self) -> str | None:
        """The value put there last, or None when the broker has none."""

    def set_marker(self, value: str) -> None:
        """Leave a mark in the broker that lives as long as its messages do."""

    def close(self) -> None:
        """Close its connections."""


class RedisProbe:
    """A probe of Redis or Valkey. Connections are pooled; safe in threads."""

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
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
                    pipe.llen(queue)
                return list(pipe.execute())

        return dict(zip(queues, self._ask(question), strict=True)) if queues else {}

    def marker(self) -> str | None:
        found = self._ask(lambda: self._client.get(MARKER_KEY))
        return None if found is None else str(found)

    def set_marker(self, value: str) -> None:
        self._ask(lambda: self._client.set(MARKER_KEY, value))

    def close(self) -> None:
        self._client.close()


def redis_url(url: str) -> str:
    """kombu's spelling of a Redis URL as redis-py's: sockets are `redis+socket://` there and `unix://` here."""
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss", "unix"):
        return url
    if parts.scheme in ("redis+socket", "socket"):
        db = parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/")
        auth = f":{parts.password}@" if parts.password else ""
        return f"unix://{auth}{parts.path}?db={db or 0}"
    raise SettingsError(f"BROKER_URL: no support for brokers of kind {parts.scheme!r} yet; use redis://host:port/db")


def probe(url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> BrokerProbe:
    """A probe for the broker of this URL.

    Raises: SettingsError for a broker that is not supported.
    """
    return RedisProbe(url, timeout_s)


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
