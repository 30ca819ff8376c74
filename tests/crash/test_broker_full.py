"""A broker that answers and takes nothing: orders are accepted and kept, it is said loudly, and all land when it takes them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.faulty import FaultyShop, faulty_shop
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

Switch = Callable[[redis.Redis], object]
REFUSALS: dict[str, tuple[Switch, Switch]] = {
    "full": (
        lambda client: client.config_set("maxmemory", 1),
        lambda client: client.config_set("maxmemory", 0),
    ),
    "read-only": (
        lambda client: client.replicaof("127.0.0.1", free_port()),
        lambda client: client.replicaof("NO", "ONE"),
    ),
}


@pytest.fixture
def shop(tmp_path: Path, redis_server: RedisServer) -> Iterator[FaultyShop]:
    with faulty_shop(
        tmp_path / "home", "", BROKER_URL=redis_server.url, SUREFOOT_PUBLISH_PAUSE_SECONDS="1"
    ) as made:
        yield made


@pytest.mark.parametrize("how", REFUSALS)
def test_given_a_broker_that_takes_nothing_when_orders_are_posted_then_they_are_kept_and_said_and_run_when_it_does(
    shop: FaultyShop, redis_server: RedisServer, how: str
) -> None:
    refuse, take = REFUSALS[how]
    orders = shop.orders(4, ("tok_ok", "tok_slow"))
    with redis_server.client() as client:
        refuse(client)
    orders += shop.orders(4, ("tok_ok", "tok_declined"))
    wait_until(
        lambda: any(
            line.get("event") == "broker.unreachable" for line in shop.lines("web", "relay")
        ),
        60,
        what="somebody to say so",
    )
    kept = {order: shop.state(order) for order in orders[4:]}
    assert "completed" not in kept.values()
    with redis_server.client() as client:
        take(client)
    assert shop.land(120) == {"completed": 6, "failed": 2}
    books = shop.audit()
    assert sum(order["charges"] - order["refunds"] for order in books["orders"]) == 6
    shop.took_s([shop.order()])
