"""Publishing and probing against a real Redis that is stopped, frozen, restarted and emptied."""

from __future__ import annotations

import time

import pytest

from surefoot.app.delivery.broker import depth, marker, ping, probe, set_marker
from surefoot.app.delivery.producer import SOCKET_S, Profile, producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.delivery.queues import on_broker
from surefoot.app.errors import BrokerUnavailable
from tests.support.publishing import patient, plan, timed
from tests.support.redis_server import RedisServer
from tests.support.waiting import in_time, wait_until

WEB_LIMIT_S = 0.8


def web(server: RedisServer) -> Publisher:
    return Publisher(producer_app(server.url, "web"), pause_s=60.0)


def connected(server: RedisServer) -> Publisher:
    """One that has published; an impatient one that the machine has made late is thrown away."""

    def attempt() -> Publisher | None:
        publisher = web(server)
        return publisher if publisher.publish(plan()) else None

    return wait_until(attempt, what="a publisher to have published")


def test_given_redis_when_a_plan_is_published_then_only_what_leaves_now_is_there(
    redis_server: RedisServer,
) -> None:
    assert patient(redis_server.url).publish(plan())
    with redis_server.client() as client:
        assert client.llen(on_broker("lane")) == 3
        keys = {key.decode() for key in client.keys("*")}  # type: ignore[union-attr]
    assert not {key for key in keys if "chord" in key or "meta" in key}
    assert depth(redis_server.url, ["lane", "other"]) == {"lane": 3, "other": 0}


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_given_broker_that_is_away_when_published_then_refused_in_time_and_then_at_once(
    redis_server: RedisServer, warm: bool, how: str
) -> None:
    publishers = [connected(redis_server) if warm else web(redis_server) for _ in range(3)]
    redis_server.freeze() if how == "frozen" else redis_server.stop(kill=True)
    first = [timed(publisher) for publisher in publishers]
    assert not any(left for left, _ in first)
    assert (
        min(took for _, took in first) < WEB_LIMIT_S
    )  # the best of them: a busy machine makes one late, never early
    again = [timed(publisher) for publisher in publishers for _ in range(30)]
    assert not any(left for left, _ in again)
    assert (
        sum(took for _, took in again) < len(again) * SOCKET_S["web"] / 2
    )  # far less than asking each time anew


@pytest.mark.parametrize("profile", ["web", "relay", "worker"])
def test_given_broker_that_comes_back_when_the_pause_is_over_then_published_at_the_first_try(
    redis_server: RedisServer, profile: Profile
) -> None:
    publisher = patient(redis_server.url, profile)
    assert publisher.publish(plan())
    redis_server.stop(kill=True)
    assert not publisher.publish(plan())
    redis_server.start()
    assert publisher.publish(plan())


def test_given_restart_that_nobody_noticed_when_published_then_the_stale_connection_costs_nothing(
    redis_server: RedisServer,
) -> None:
    publisher = patient(redis_server.url, "web")
    assert publisher.publish(plan())
    redis_server.stop()
    redis_server.start()
    assert publisher.publish(plan())


def test_given_marker_when_the_broker_loses_everything_then_it_is_gone(
    redis_server: RedisServer,
) -> None:
    assert marker(redis_server.url) is None
    set_marker(redis_server.url, "epoch 1")
    assert marker(redis_server.url) == "epoch 1"
    redis_server.stop()
    redis_server.start()
    assert (
        marker(redis_server.url) == "epoch 1"
    )  # the append-only file brings it back, and the messages with it
    redis_server.flush()
    assert marker(redis_server.url) is None


def test_given_frozen_broker_when_probed_then_answers_within_the_time_out(
    redis_server: RedisServer,
) -> None:
    probing = probe(redis_server.url, timeout_s=0.3)
    wait_until(probing.ping, what="an answer")
    redis_server.freeze()
    began = time.monotonic()
    assert not probing.ping()
    assert not ping(redis_server.url, 0.3)
    with pytest.raises(BrokerUnavailable):
        probing.depth(["lane"])
    assert in_time(time.monotonic() - began, 20.0)  # and not for as long as it is frozen
    redis_server.thaw()
    wait_until(probing.ping, what="an answer")
    probing.close()


def test_given_a_restart_that_was_over_before_anybody_asked_when_asked_for_the_marker_then_once_the_broker_was_away(
    redis_server: RedisServer,
) -> None:
    probing = probe(redis_server.url)
    probing.set_marker("epoch 1")
    assert probing.marker() == "epoch 1"
    redis_server.stop()
    redis_server.start()
    probing.ping()
    with pytest.raises(BrokerUnavailable):
        probing.marker()
    assert probing.marker() == "epoch 1"
    probing.close()
