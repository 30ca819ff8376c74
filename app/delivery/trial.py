"""A write that proves that a broker takes writes, and leaves nothing.

Redis: a key of its own name, deleted at once; it would be gone a second later anyway. RabbitMQ:
messages to a queue that does not exist, which the broker drops and confirms. An alarm holds up
publishers all the same, and a queue of our own would stay for as long as it lasts.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import redis
from amqp import Message
from amqp import exceptions as amqp_errors

from surefoot.app.delivery import amqp
from surefoot.app.delivery.broker import redis_url
from surefoot.app.delivery.connection import Connection
from surefoot.app.delivery.queues import on_broker

KEPT_MS = 1000  # a key that could not be deleted
# They answer, whatever family redis-py counts them to.
REDIS_ANSWERS = (
    redis.exceptions.ResponseError,
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.BusyLoadingError,
)


class Silent(Exception):
    """It does not answer; the text says why, and is empty when time ran out."""


class Refused(Exception):
    """It answers, and refuses.

    `us`: the connection, with its name, password, database or virtual host; otherwise a write.
    """

    def __init__(self, words: str, *, us: bool) -> None:
        super().__init__(words)
        self.words, self.us = words, us


def write(url: str, patience_s: float) -> None:
    """Every wait is bounded by `patience_s`.

    Raises: Silent, Refused; SettingsError for a broker that is not supported.
    """
    ask = _to_rabbitmq if amqp.is_amqp(url) else _to_redis
    try:
        ask(url, patience_s)
    except Silent as error:
        raise Silent(_without_password(str(error), url)) from None
    except Refused as error:
        raise Refused(_without_password(error.words, url), us=error.us) from None


def _to_redis(url: str, patience_s: float) -> None:
    wait = {"socket_timeout": patience_s, "socket_connect_timeout": patience_s}
    client = redis.Redis.from_url(
        redis_url(url), **wait, retry=None, protocol=2
    )  # version 3 words a missing password as a riddle
    key = on_broker(f"doctor.{uuid4().hex}")
    connected = False
    try:
        client.ping()
        connected = True
        client.set(key, "", px=KEPT_MS)
        client.delete(key)
    except REDIS_ANSWERS as error:
        raise Refused(str(error), us=not connected) from error
    except (redis.exceptions.RedisError, OSError) as error:
        if connected:
            raise Refused(
                f"no answer to a write within {patience_s:g} s ({error})", us=False
            ) from error
        raise Silent(
            "" if isinstance(error, redis.exceptions.TimeoutError) else str(error)
        ) from error
    finally:
        client.close()


def _to_rabbitmq(url: str, patience_s: float) -> None:
    options = amqp.transport_options(patience_s, confirm=True)
    connection: Any = Connection(url, connect_timeout=patience_s, transport_options=options)  # type: ignore[no-untyped-call]
    blocked: list[str] = []
    connected = False
    try:
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        connection.connection.on_blocked = blocked.append
        channel = connection.channel()
        connected = True
        for _ in range(
            2
            # under an alarm RabbitMQ still takes a connection's first message, and then reads no
            # more of it
        ):
            channel.basic_publish(
                Message(""), routing_key=on_broker(f"doctor.{uuid4().hex}"), timeout=patience_s
            )
        connection.release()
    except (
        *connection.connection_errors,
        *connection.channel_errors,
        amqp_errors.MessageNacked,
    ) as error:
        words = "; ".join((*blocked, _said(error)))
        if connected:
            raise Refused(
                f"no confirmation within {patience_s:g} s ({words})" if _is_late(error) else words,
                us=False,
            ) from error
        if getattr(error, "reply_code", None):
            raise Refused(words, us=True) from error
        raise Silent("" if _is_late(error) else words) from error
    finally:
        connection.collect()  # no farewell: a broker that holds us up would not read it


def _is_late(error: Exception) -> bool:
    return isinstance(error, (TimeoutError, amqp.BrokerSilent))


def _said(error: Exception) -> str:
    return str(getattr(error, "reply_text", None) or error) or type(error).__name__


def _without_password(words: str, url: str) -> str:
    parts = urlsplit(url)
    for password in filter(
        None,
        (parts.password, unquote(parts.password or ""), *parse_qs(parts.query).get("password", [])),
    ):
        words = words.replace(password, "***")
    return " ".join(words.split())
