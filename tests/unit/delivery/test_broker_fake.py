"""The probe's questions, against fakeredis: no server, no socket."""

from __future__ import annotations

import fakeredis
import pytest

from surefoot.app.delivery.broker import RedisProbe
from surefoot.app.errors import BrokerUnavailable


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def probe(server: fakeredis.FakeServer) -> RedisProbe:
    probe = RedisProbe("redis://nowhere:1/0")
    probe._client = fakeredis.FakeRedis(server=server, decode_responses=True)
    return probe


def test_given_a_new_broker_then_it_has_no_marker_until_one_is_left(probe: RedisProbe) -> None:
    assert probe.marker() is None
    probe.set_marker("m1")
    assert probe.marker() == "m1"


def test_given_a_flush_then_the_marker_is_gone(
    probe: RedisProbe, server: fakeredis.FakeServer
) -> None:
    probe.set_marker("m1")
    fakeredis.FakeRedis(server=server).flushall()
    assert probe.marker() is None


def test_given_messages_then_the_depth_is_told_for_each_queue(
    probe: RedisProbe, server: fakeredis.FakeServer
) -> None:
    fakeredis.FakeRedis(server=server).rpush("surefoot.orders", "a", "b")
    assert probe.depth(["orders", "orders.undo"]) == {"orders": 2, "orders.undo": 0}
    assert probe.depth([]) == {}


def test_given_no_connection_then_every_question_says_so_and_a_ping_is_no(
    probe: RedisProbe, server: fakeredis.FakeServer
) -> None:
    server.connected = False
    assert not probe.ping()
    for question in (
        probe.marker,
        lambda: probe.set_marker("x"),
        lambda: probe.depth(["orders"]),
    ):
        with pytest.raises(BrokerUnavailable):
            question()
