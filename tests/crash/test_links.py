"""Real processes over links that are cut, lose one direction, are slow, or go and come: everything lands all the same.

The store is a PostgreSQL: a SQLite has no link. What each outage has to show while it lasts is in `outage`; what has to be
true after it is in `landed`: orders ended as their cards say, books agree, and no invariant is broken.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.app.store.worker_register import live_workers
from tests.support.faulty import WORKERS
from tests.support.lanes_apart import LanesApart
from tests.support.linked import LinkedShop, linked_shop
from tests.support.proxy import BOTH, Way
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(500)

Harm = tuple[Way, ...] | None  # the directions that are lost; None: cut both ways
CUT: Harm = None
REQUESTS: Harm = ("requests",)
ANSWERS: Harm = ("answers",)
HARMS = (CUT, REQUESTS, ANSWERS, BOTH)
CARDS = ("tok_ok", "tok_slow", "tok_declined")
ORDERS = 6
LONG_S = 30.0
HEARD_S = 1.0  # what had passed before a link was lost has been done by then; less than a lease
NOTICED_S = 60.0  # the silence of the store is 3 s, that of a broker's consumer 5 s; the rest is for this machine


@pytest.fixture
def shop(tmp_path: Path, fresh_postgres: str, redis_server: RedisServer) -> Iterator[LinkedShop]:
    with linked_shop(tmp_path / "home", fresh_postgres, redis_server.url) as made:
        yield made


def let_pass(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, seconds + 10, 0.1, what="the outage to last")


def harm(shop: LinkedShop, link: str, how: Harm) -> None:
    for proxy in shop.of(link):
        proxy.cut() if how is None else proxy.lose(*how)


def heal(shop: LinkedShop) -> None:
    for proxy in shop.links.values():
        proxy.heal()
    wait_until(
        lambda: shop.http.get("/../../readyz").status_code == 200,
        60,
        what="the web server to be ready",
    )


def state_of(apart: LanesApart, order: str, step: str) -> str:
    row = apart.operation(order, step)
    return row.state if row else ""


def outage(shop: LinkedShop, link: str, how: Harm, seconds: float) -> list[str]:
    """Orders before and meanwhile; all that were accepted. Comes back when the link is whole again."""
    orders = shop.orders(ORDERS, CARDS)
    noticed = said_unreachable(shop)
    harm(shop, link, how)
    if link == "web-store":
        refused = shop.post()  # within the client's time-out
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) >= 1
    else:
        orders.append(shop.order())
    let_pass(seconds)
    if link == "worker-store":
        wait_until(
            lambda: said_unreachable(shop) > noticed,
            NOTICED_S,
            what="the keeper of a worker to notice",
        )
    heal(shop)
    return [*orders, shop.order()]


def said_unreachable(shop: LinkedShop) -> int:
    return sum(line.get("event") == "store.unreachable" for line in shop.lines(*WORKERS))


def charges_of(shop: LinkedShop, worker_id: str) -> set[str]:
    """The charges that a worker is at now, by the store: their ids."""
    return {
        row.id
        for row in shop.operations()
        if row.state == "running" and row.step == "charge_card" and row.worker_id == worker_id
    }


def landed(shop: LinkedShop, orders: list[str]) -> None:
    """Every accepted order has ended, money is with who should have it, and the next order is an ordinary one."""
    states = shop.land(150)
    assert states.total() == len(orders)
    books = shop.audit()
    assert (
        sum(order["charges"] - order["refunds"] for order in books["orders"]) == states["completed"]
    )
    shop.took_s([shop.order()])


OUTAGES: dict[str, tuple[tuple[Harm, float], ...]] = {
    "worker-store": ((CUT, 1.0), (REQUESTS, 6.0), (ANSWERS, LONG_S)),
    "worker-broker": ((CUT, LONG_S), (REQUESTS, 8.0), (ANSWERS, 8.0)),
    "web-store": ((CUT, 1.0), (REQUESTS, 6.0), (ANSWERS, 6.0)),
    "web-broker": ((CUT, 1.0), (REQUESTS, 6.0), (ANSWERS, 6.0)),
    "payment-bank": ((CUT, 1.0), (REQUESTS, 8.0), (ANSWERS, LONG_S)),
}


def test_given_orders_under_way_when_links_to_the_store_fail_for_a_moment_then_posts_are_refused_for_now_and_all_land(
    shop: LinkedShop,
) -> None:
    orders = outage(shop, "worker-store", CUT, 1.0)
    orders += outage(shop, "web-store", ANSWERS, 1.0)
    landed(shop, orders)


@pytest.mark.long
@pytest.mark.parametrize("link", OUTAGES)
def test_given_orders_under_way_when_one_link_is_cut_or_loses_a_direction_then_it_is_noticed_and_all_land(
    shop: LinkedShop, link: str
) -> None:
    orders: list[str] = []
    for how, seconds in OUTAGES[link]:
        orders += outage(shop, link, how, seconds)
    landed(shop, orders)


@pytest.mark.long
def test_given_a_link_that_swallows_everything_when_its_worker_is_past_its_lease_then_the_other_takes_over_and_all_land_meanwhile(
    shop: LinkedShop,
) -> None:
    pid = shop.up.pid_of("worker-1")
    worker_id = next(worker.worker_id for worker in live_workers(shop.db) if worker.pid == pid)
    hole = shop.links["worker-1-store"]
    orders = shop.orders(ORDERS, ("tok_slow",))

    def swallowed_in_mid_charge() -> set[str]:
        hole.lose(*BOTH)
        if mine := charges_of(shop, worker_id):
            let_pass(HEARD_S)
            mine &= charges_of(
                shop, worker_id
            )  # the worker can tell of nothing more, so they stay its own until their leases end
        if not mine:
            hole.heal()
        return mine

    swallowed = wait_until(swallowed_in_mid_charge, 60, what="the hole to open in mid charge")
    assert shop.land(200) == {
        "completed": len(orders)
    }  # by the other one, while the first reaches nothing
    for charge in (row for row in shop.operations() if row.id in swallowed):
        assert charge.attempts >= 2
        assert charge.worker_id != worker_id
    hole.reset()
    hole.heal()
    landed(shop, orders + shop.orders(ORDERS, CARDS))


@pytest.mark.long
def test_given_links_that_go_one_by_one_and_come_in_another_order_then_all_land(
    shop: LinkedShop,
) -> None:
    chance = random.Random(34)
    orders = shop.orders(ORDERS, CARDS)
    for _ in range(2):
        names = chance.sample(sorted(name for name in shop.links if not name.startswith("web")), 5)
        for name in names:
            harm(shop, name, chance.choice(HARMS))
            let_pass(chance.uniform(0.5, 2.5))
            orders.append(shop.order())
        for name in chance.sample(names, len(names)):
            shop.links[name].heal()
            let_pass(chance.uniform(0.5, 2.5))
    landed(shop, orders)


@pytest.mark.long
def test_given_every_link_is_slow_when_a_step_takes_longer_than_its_lease_then_no_lease_is_lost(
    tmp_path: Path, fresh_postgres: str, redis_server: RedisServer
) -> None:
    lease_s = 8.0
    told = {
        "SUREFOOT_LEASE_SECONDS": f"{lease_s:g}",
        "SUREFOOT_HEARTBEAT_SECONDS": "2",
        "SUREFOOT_BANK_SLOW_SECONDS": f"{lease_s + 2:g}",
        "SUREFOOT_BANK_TIMEOUT_SECONDS": "50",  # on a busy machine, too, the slow bank answers in time
    }
    with linked_shop(
        tmp_path / "home",
        fresh_postgres,
        redis_server.url,
        SUREFOOT_STORE_SILENCE_SECONDS="15",
        **told,
    ) as shop:
        for link in shop.links.values():
            link.slow(0.1, jitter_s=0.05)  # each way: 200 ms, give or take 100, there and back
        orders = shop.orders(3, ("tok_slow", "tok_ok"))
        assert shop.land(150) == {"completed": 3}
        told = [event for order in orders for event in shop.history(order)]
        assert "attempt_lost" not in {event.event for event in told}
        # on a machine this slow a call may time out: that attempt failed with its lease
        failed = [event for event in told if event.event == "attempt_failed"]
        attempts = [
            row.attempts
            for row in shop.operations()
            if row.step == "charge_card" and row.kind == "action"
        ]
        charged = [event for event in failed if event.step == "charge_card"]
        assert sum(attempts) == len(orders) + len(charged), failed
        heal(shop)
        landed(shop, orders)


@pytest.mark.long
def test_given_a_bank_that_is_slow_when_its_lane_is_full_then_the_other_lanes_go_on(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    apart = LanesApart(tmp_path / "home", redis_server.url)
    try:
        apart.start()
        orders = [
            apart.order(card="tok_slow") for _ in range(3)
        ]  # one child, and seconds for each: they wait for each other
        wait_until(
            lambda: all(state_of(apart, order, "reserve_stock") == "completed" for order in orders),
            60,
            what="the goods",
        )
        assert sum(state_of(apart, order, "charge_card") == "completed" for order in orders) < len(
            orders
        )
        assert set(apart.rest(120)) <= {
            "completed",
            "failed",
        }  # whom nobody came for in time is undone
        apart.audit()
    finally:
        apart.close()
