"""Open dead letters are seen in the broker's lane `dead`: as many as there are, whatever becomes of the broker."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.delivery.dead_lane import DeadLane
from surefoot.app.delivery.queues import on_broker
from surefoot.app.engine.operators import redrive
from surefoot.app.engine.relay.duties.dead_letter_queue import Mirror
from surefoot.app.errors import BrokerUnavailable, DefinitionError, SettingsError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.workers.lanes import served_lanes
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.world import Participant, Thing, World, diamond

DOWN = RuntimeError("down")


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    service = Participant()
    made = World(sqlite_url, [diamond(service)], service)
    yield made
    made.db.dispose()


@pytest.fixture
def lane(redis_server: RedisServer) -> Iterator[DeadLane]:
    made = DeadLane(redis_server.url)
    yield made
    made.close()


def mirror(world: World, lane: Any, **settings: Any) -> Mirror:
    return Mirror(
        world.db, world.settings.model_copy(update={"mirror_seconds": 0.0, **settings}), lane
    )


def given_up(world: World) -> str:
    world.service.script["left", "action"] = [DOWN] * 5
    job = world.submit()
    assert world.land(job) == "failed"
    return str(world.letters(job)[0].id)


def made_anew(relay: Mirror, count: int) -> None:
    """It waits for a while after it has put all there anew: that may have been much."""
    wait_until(lambda: relay.run_once() == count, what=f"the lane with {count} letters")


def content(server: RedisServer) -> list[dict[str, Any]]:
    """What somebody who took everything out of the queue would find, in that order."""
    with server.client() as client:
        envelopes = [json.loads(raw) for raw in client.lrange(on_broker("dead"), 0, -1)][::-1]
    return [json.loads(base64.b64decode(one["body"])) for one in envelopes]


def test_given_letters_when_mirrored_then_small_messages_in_order_and_closing_one_takes_it_out(
    world: World, lane: DeadLane, redis_server: RedisServer
) -> None:
    relay = mirror(world, lane)
    first, second = given_up(world), given_up(world)
    assert relay.run_once() == 2
    assert relay.run_once() == 0
    third = given_up(world)
    assert relay.run_once() == 1
    assert lane.depth() == 3
    redrive.discard_letter(world.db, second, "anna", "w")
    made_anew(relay, 2)
    with redis_server.client() as client:
        assert client.llen(on_broker("dead")) == 2  # what redis-cli and Flower ask
    seen = content(redis_server)
    assert [one["letter"] for one in seen] == [first, third]
    assert set(seen[0]) == {"letter", "job", "saga", "step", "item", "kind", "why"}
    assert (seen[0]["saga"], seen[0]["step"], seen[0]["kind"], seen[0]["why"]) == (
        "diamond",
        "left",
        "action",
        "exhausted",
    )


def test_given_broker_that_lost_it_or_a_new_relay_then_the_lane_is_made_anew(
    world: World, lane: DeadLane, redis_server: RedisServer
) -> None:
    relay = mirror(world, lane)
    given_up(world), given_up(world)
    relay.run_once()
    with redis_server.client() as client:
        client.rpop(on_broker("dead"))
        made_anew(relay, 2)
        client.flushall()
        made_anew(relay, 2)
        client.lpush(on_broker("dead"), "rubbish")
        assert mirror(world, lane).run_once() == 2
        assert client.llen(on_broker("dead")) == 2


def test_given_broker_that_is_away_then_the_sweep_goes_on_and_the_lane_is_made_when_it_is_back(
    world: World, lane: DeadLane, redis_server: RedisServer
) -> None:
    given_up(world)
    relay = mirror(world, lane)
    world.sweeper.duties.append(relay)
    redis_server.stop()
    assert "mirrored" not in world.sweep()
    with pytest.raises(BrokerUnavailable):
        lane.depth()
    redis_server.start()
    assert world.sweep()["mirrored"] == 1
    assert relay.shown is not None


def test_given_more_letters_than_are_shown_then_the_oldest(world: World, lane: DeadLane) -> None:
    first = given_up(world)
    given_up(world)
    relay = mirror(world, lane, mirror_letters=1)
    assert relay.run_once() == 1
    assert (lane.depth(), relay.shown) == (1, (first,))
    assert relay.run_once() == 0


def test_given_a_lane_that_changes_all_the_time_then_making_it_anew_takes_a_small_share_of_the_relays_time(
    world: World,
) -> None:
    class Slow:
        replaced = 0

        def depth(self) -> int:
            return -1

        def append(self, bodies: Any) -> None: ...

        def replace(self, bodies: Any) -> None:
            self.replaced += 1
            clock[0] += 1.0

    clock, slow = [0.0], Slow()
    relay = mirror(world, slow)
    relay.clock = lambda: clock[0]
    while clock[0] < 100:
        relay.run_once()
        clock[0] += 0.5
    assert slow.replaced <= 6


def test_given_step_or_worker_of_the_lane_dead_then_refused() -> None:
    saga = Saga("s", version=1, input=Thing)
    with pytest.raises(DefinitionError, match="shows dead letters"):

        @saga.step(lane="dead", undo=None)
        def step(ctx: Any, o: Any) -> None: ...

    with pytest.raises(SettingsError, match="SUREFOOT_LANES"):
        served_lanes(Registry([]), {"SUREFOOT_LANES": "a,dead"})


@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_rabbitmq_when_mirrored_then_the_same(
    world: World, rabbitmq_server: RabbitMQServer
) -> None:
    lane = DeadLane(rabbitmq_server.url, timeout_s=5.0)
    try:
        relay = mirror(world, lane)
        first = given_up(world)
        given_up(world)
        assert relay.run_once() == 2
        redrive.discard_letter(world.db, first, "anna", "w")
        made_anew(relay, 1)
        wait_until(
            lambda: lane.depth() == 1, what="the one that is left"
        )  # nobody waits for its confirmation
    finally:
        lane.close()
