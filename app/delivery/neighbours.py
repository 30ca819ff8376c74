"""Who else has to do with our queues: programs that share the broker with us.

A foreign consumer takes our messages: nothing is lost, for the store republishes what nobody
claims, and every job waits for that. RabbitMQ counts the consumers of a queue. Redis does not know
who asks for a key, but kombu keeps what a consumer holds in a table that all programs share unless
they say otherwise, as we do; and it keeps the bindings.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import redis

from surefoot.app.delivery.broker import DEFAULT_TIMEOUT_S, AmqpProbe, redis_url
from surefoot.app.delivery.queues import on_broker
from surefoot.app.errors import BrokerUnavailable

# kombu's own names in Redis, of everybody who does not choose others
HELD_BY_OTHERS = "unacked"
BINDINGS = "_kombu.binding."
SEPARATOR = "\x06\x16"
LOOKED_AT = 1000  # messages that others hold, and exchanges


def consumers(url: str, queues: Collection[str]) -> dict[str, int]:
    """queue (by its lane) -> how many consumers RabbitMQ counts. Raises: BrokerUnavailable."""
    probe = AmqpProbe(url, DEFAULT_TIMEOUT_S)
    try:
        return {queue: probe.consumers(queue) for queue in queues}
    finally:
        probe.close()


def trouble_on_redis(url: str, queues: Collection[str]) -> list[str]:
    """A sentence for each other program that holds our messages, gets copies or feeds our queues.

    Raises: BrokerUnavailable.
    """
    client = redis.Redis.from_url(
        redis_url(url),
        socket_timeout=DEFAULT_TIMEOUT_S,
        socket_connect_timeout=DEFAULT_TIMEOUT_S,
        retry=None,
        decode_responses=True,
    )
    try:
        return look(client, queues)
    except (redis.exceptions.RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer: {error!r}") from error
    finally:
        client.close()


def look(client: Any, queues: Collection[str]) -> list[str]:
    """As `trouble_on_redis`, asked of this client."""
    ours = {on_broker(queue) for queue in queues}
    return [*_held(client, ours), *_bound(client, ours)]


def _held(client: Any, ours: Collection[str]) -> Iterator[str]:
    found: dict[str, int] = {}
    for _, kept in islice(client.hscan_iter(HELD_BY_OTHERS), LOOKED_AT):
        queue = _routing_key(kept)
        if queue in ours:
            found[queue] = found.get(queue, 0) + 1
    for queue, count in sorted(found.items()):
        yield f"another program holds {count} of the messages of {queue}"


def _routing_key(kept: str) -> str:
    try:
        _, _, routing_key = json.loads(kept)
    except (ValueError, TypeError):
        return ""
    return routing_key if isinstance(routing_key, str) else ""


def _bound(client: Any, ours: Collection[str]) -> Iterator[str]:
    for key in sorted(islice(client.scan_iter(f"{BINDINGS}*", count=500), LOOKED_AT)):
        exchange = key.removeprefix(BINDINGS)
        for member in sorted(client.smembers(key)):
            queue = member.split(SEPARATOR)[-1]
            if exchange in ours and queue not in ours:
                yield f"the queue {queue} of another program is bound to {exchange}"
            if queue in ours and exchange not in ours:
                yield f"the exchange {exchange} of another program feeds {queue}"
