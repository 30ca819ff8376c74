"""Orders without a coordinator on real processes: services are killed, the broker forgets, and every order lands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import psutil
import pytest

from tests.support.orders import Shop
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.running import Up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
CARDS = ("tok_ok", "tok_ok", "tok_declined")
IMPATIENT = {
    "SUREFOOT_EVENTS_HOLD_SECONDS": "8",
    "SUREFOOT_EVENTS_ASK_SECONDS": "1",
    "SUREFOOT_BANK_TIMEOUT_SECONDS": "3",
    "SUREFOOT_CHOREOGRAPHY": "1",
}
LAND_S = 250.0  # a machine that does other things as well


@pytest.fixture(autouse=True)
def _installed() -> None:
    """An older installation knows neither the saga nor its commands."""
    if not any(
        point.name == "order_choreographed" for point in entry_points(group="surefoot.sagas")
    ):
        what = "the installed entry points are older than setup.cfg: pip install --no-deps -e ."
        pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path, redis_executable: str) -> Iterator[Shop]:
    """`param`: more settings."""
    up = Up(tmp_path / "home", **IMPATIENT, **getattr(request, "param", {}))
    try:
        shop = Shop(up.start(), "order_choreographed")
        yield shop
        shop.close()
    finally:
        up.close()


def services_of(shop: Shop) -> psutil.Process:
    """The process of the four services, once there is one that runs."""

    def found() -> psutil.Process | None:
        for process in psutil.Process(shop.up.process.pid).children(recursive=True):
            try:
                if "choreography" in process.cmdline():
                    return process
            except psutil.Error:
                continue
        return None

    return wait_until(found, 60, what="the services") or psutil.Process()


def test_given_orders_over_http_when_services_react_then_they_land_and_one_timeline_tells_how(
    shop: Shop,
) -> None:
    good, declined = shop.order(), shop.order(card="tok_declined")
    assert shop.land(LAND_S) == {"completed": 1, "failed": 1}
    assert shop.job(good)["state"] == "completed"
    assert shop.job(declined)["reason"] == "The bank declined the card."
    books = shop.audit()
    states = {order["job"]: order["state"] for order in books["orders"]}
    assert states == {good: "shipped", declined: "voided"}
    found = shop.up.json("timeline", good)
    assert [event["kind"] for event in found["events"]][:1] == ["OrderPlaced"]
    assert {event["by"] for event in found["events"]} == {"orders", "inventory", "payments", "mail"}
    assert shop.up.json("choreography", "letters") == []

    slow = shop.order(card="tok_slow")
    wait_until(
        lambda: shop.step(slow, "place_order") == "completed", 60, what="the order to be placed"
    )
    cancelled = shop.http.post(f"/jobs/{slow}/cancel")
    shop.land(LAND_S)
    if cancelled.status_code == 409:  # it had ended
        assert shop.job(slow)["state"] == "completed"
    else:
        assert cancelled.status_code == 202, cancelled.text
        assert shop.job(slow)["state"] in (
            "cancelled",
            "completed",
        )  # the wish may have come too late
    shop.audit()

    shop.orders(4, CARDS)
    services_of(shop).kill()
    shop.orders(2, CARDS)
    shop.land(LAND_S)
    shop.audit()


@pytest.mark.long
@pytest.mark.parametrize("shop", [{"SUREFOOT_QUEUE_PREFIX": "team.sagas."}], indirect=True)
def test_given_a_prefix_for_queues_when_services_react_then_all_names_on_the_broker_have_it(
    shop: Shop,
) -> None:
    shop.orders(4, CARDS)
    assert shop.land(LAND_S).total() == 4
    shop.audit()
    names = {bytes(name).decode() for name in shop.broker.keys("*")}  # type: ignore[union-attr]
    assert {name for name in names if name.startswith("surefoot.")} == set()
    assert any(name.startswith("team.sagas.") for name in names)


@pytest.mark.long
def test_given_orders_under_way_when_services_are_killed_again_and_again_then_all_land(
    shop: Shop,
) -> None:
    for _ in range(4):
        shop.orders(5, (*CARDS, "tok_lost"))
        services_of(shop).kill()
    assert shop.land(LAND_S).total() == 20
    shop.audit()


@pytest.mark.long
def test_given_orders_under_way_when_redis_forgets_everything_and_is_restarted_then_all_land(
    shop: Shop,
) -> None:
    for _ in range(3):
        shop.orders(4, CARDS)
        shop.broker.flushall()
    shop.orders(4, CARDS)
    psutil.Process(shop.up.pid_of("broker")).kill()
    shop.orders(2, CARDS)
    assert shop.land(LAND_S).total() == 18
    shop.audit()


@pytest.mark.long
def test_given_rabbitmq_when_services_are_killed_and_connections_are_closed_then_all_land(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, fresh_postgres: str
) -> None:
    up = Up(
        tmp_path / "home", BROKER_URL=rabbitmq_server.url, DATABASE_URL=fresh_postgres, **IMPATIENT
    )
    try:
        shop = Shop(up.start(), "order_choreographed")
        shop.orders(6, CARDS)
        rabbitmq_server.close_connections()
        shop.orders(3, CARDS)
        services_of(shop).kill()
        assert shop.land(LAND_S).total() == 9
        shop.audit()
        shop.close()
    finally:
        up.close()
