"""Our transports in kombu's table; no server is needed."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import redis
from kombu.transport import redis as kombu_redis

from surefoot.app.delivery import amqp
from surefoot.app.delivery.connection import Connection, RedisChannel, RedisTransport
from surefoot.app.delivery.producer import producer_app


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:1/0", RedisTransport),
        ("rediss://localhost:1/0", RedisTransport),
        ("redis+socket:///run/r.sock", RedisTransport),
        ("amqp://guest@localhost:1//", amqp.Transport),
        ("amqps://guest@localhost:1//", amqp.SSLTransport),
    ],
)
def test_given_a_url_when_connected_alone_or_from_a_pool_then_by_our_transport(
    url: str, expected: type
) -> None:
    assert isinstance(Connection(url).transport, expected)
    assert isinstance(Connection(url).Pool(1).new().transport, expected)


def closed(channel: type) -> object:
    made = channel.__new__(channel)
    made.connection = Mock(client=None)
    return made


def test_given_a_channel_whose_connection_is_gone_when_asked_where_it_was_then_it_is_a_connection_error() -> (
    None
):
    with pytest.raises(redis.exceptions.ConnectionError):
        closed(RedisChannel)._connparams()  # type: ignore[attr-defined]


def test_given_kombus_own_channel_then_the_mend_is_still_needed() -> None:
    with pytest.raises(AttributeError):
        closed(kombu_redis.Channel)._connparams()  # type: ignore[attr-defined]


def test_given_the_kind_of_broker_when_a_producer_meets_a_queue_then_it_is_declared_as_the_workers_do() -> (
    None
):
    assert producer_app("redis://localhost:1/0").amqp.queues["lane"].queue_arguments is None
    made = producer_app("amqp://guest@localhost:1//").amqp.queues["lane"]
    assert made.queue_arguments == amqp.queue("lane").queue_arguments
    assert made.exchange == amqp.queue("lane").exchange
