"""Publishing and probing against a real RabbitMQ that is stopped, frozen, restarted and emptied."""

from __future__ import annotations

import statistics
import time

import pytest
from kombu import Connection

from surefoot.app.delivery import amqp, broker, neighbours
from surefoot.app.delivery.producer import Profile, producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.delivery.queues import on_broker
from surefoot.app.errors import BrokerUnavailable
from tests.support.publishing import plan, timed
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.waiting import in_time, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
# Each time-out is half a second at most. Without one, kombu and py-amqp wait for a frozen broker for as long as it is frozen.
BUSY_S = 3.0  # for a machine that is paused just then
AT_ONCE_S = 0.05


def test_given_rabbitmq_when_a_plan_is_published_then_only_what_leaves_now_is_there_and_it_survives_a_restart(
    rabbitmq_server: RabbitMQServer,
) -> None:
    publisher = Publisher(producer_app(rabbitmq_server.url, "web"), pause_s=0)
    assert publisher.publish(plan())
    assert broker.depth(rabbitmq_server.url, ["lane", "other"]) == {"lane": 3, "other": 0}
    said = rabbitmq_server.ctl("list_queues", "--quiet", "name", "type", "arguments")
    assert "surefoot.lane\tquorum" in said
    assert neighbours.consumers(rabbitmq_server.url, ["lane", "nowhere"]) == {
        "lane": 0,
        "nowhere": 0,
    }
    assert f'"x-delivery-limit",{amqp.DELIVERY_LIMIT}' in said.replace(" ", "")
    assert "celery_delayed" not in said

    assert broker.marker(rabbitmq_server.url) is None
    broker.set_marker(rabbitmq_server.url, "epoch 1")
    assert broker.marker(rabbitmq_server.url)
    rabbitmq_server.stop()
    assert not publisher.publish(plan())
    rabbitmq_server.start()
    assert broker.depth(rabbitmq_server.url, ["lane"]) == {"lane": 3}
    assert broker.marker(rabbitmq_server.url)
    assert publisher.publish(plan())  # at the first try

    rabbitmq_server.close_connections()
    assert publisher.publish(plan())  # a connection that the broker closed costs nothing

    rabbitmq_server.stop(kill=True)
    rabbitmq_server.wipe()
    rabbitmq_server.start()
    assert broker.marker(rabbitmq_server.url) is None


def test_given_a_frozen_or_stopped_rabbitmq_when_published_or_asked_then_refused_in_time_and_then_at_once(
    rabbitmq_server: RabbitMQServer,
) -> None:
    profiles: list[Profile] = ["web", "worker"]
    warm = {profile: Publisher(producer_app(rabbitmq_server.url, profile)) for profile in profiles}
    for publisher in warm.values():
        assert publisher.publish(plan())
    probing = broker.probe(rabbitmq_server.url, timeout_s=0.3)
    wait_until(probing.ping, what="an answer")
    rabbitmq_server.freeze()
    cold = {profile: Publisher(producer_app(rabbitmq_server.url, profile)) for profile in profiles}
    for publisher in (*warm.values(), *cold.values()):
        left, took = timed(publisher)
        assert not left
        assert in_time(took, BUSY_S)
        again = [timed(publisher) for _ in range(20)]
        assert not any(left for left, _ in again)
        assert in_time(statistics.median(took for _, took in again), AT_ONCE_S)
    began = time.monotonic()
    assert not probing.ping()
    assert not broker.ping(rabbitmq_server.url, 0.3)
    with pytest.raises(BrokerUnavailable):
        probing.depth(["lane"])
    assert in_time(time.monotonic() - began, BUSY_S)
    rabbitmq_server.thaw()
    wait_until(probing.ping, what="an answer")
    probing.close()

    rabbitmq_server.stop(kill=True)
    left, took = timed(Publisher(producer_app(rabbitmq_server.url, "web")))
    assert not left
    assert in_time(took, BUSY_S)


def test_given_a_message_that_always_comes_back_when_its_limit_is_reached_then_the_broker_drops_it(
    rabbitmq_url: str,
) -> None:
    assert Publisher(producer_app(rabbitmq_url, "web")).publish(plan()[:1])
    with Connection(rabbitmq_url) as connection:
        seen = 0
        while message := amqp.queue(on_broker("lane")).bind(connection.default_channel).get():
            seen += 1
            message.reject(requeue=True)
    assert seen == amqp.DELIVERY_LIMIT + 1
