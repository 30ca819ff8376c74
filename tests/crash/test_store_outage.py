"""The store goes away while orders run: nobody is told 202 in vain, nothing that was done is forgotten, and all land afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import text_of
from tests.support.orders import Shop
from tests.support.postgres_server import PostgresServer
from tests.support.running import Up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(500)


@pytest.fixture
def shop(tmp_path: Path, own_postgres: PostgresServer, redis_executable: str) -> Iterator[Shop]:
    url = own_postgres.url(own_postgres.create_database())
    up = Up(
        tmp_path / "home",
        DATABASE_URL=url,
        SUREFOOT_LEASE_SECONDS="2",
        SUREFOOT_HEARTBEAT_SECONDS="0.5",
    ).start()
    shop = Shop(up)
    yield shop
    shop.close()
    up.close()


@pytest.mark.parametrize(
    ("orders", "seconds"),
    [
        pytest.param(12, 0.0, id="some orders"),
        pytest.param(60, 30.0, id="many orders, half a minute", marks=pytest.mark.long),
    ],
)
def test_given_postgresql_is_stopped_while_orders_run_then_posts_are_refused_for_now_and_every_accepted_order_lands(
    shop: Shop, own_postgres: PostgresServer, orders: int, seconds: float
) -> None:
    accepted = shop.orders(orders, cards=("tok_ok", "tok_slow", "tok_declined"))
    wait_until(lambda: shop.states().total() == orders, 60)
    shop.db.dispose()
    own_postgres.halt()
    refused = shop.post()
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert shop.http.get("/../../livez").status_code == 200
    assert shop.http.get("/../../readyz").status_code == 503
    until = time.monotonic() + seconds
    wait_until(
        lambda: shop.post().status_code == 503 and time.monotonic() >= until,
        seconds + 60,
        1.0,
        what="the outage to last",
    )
    own_postgres.again()
    wait_until(
        lambda: shop.http.get("/../../readyz").status_code == 200,
        60,
        what="the web server to be ready again",
    )
    later = shop.order()
    states = shop.land(200)
    declined = orders // 3
    assert states == {"completed": orders - declined + 1, "failed": declined}
    assert {shop.job(job)["id"] for job in (*accepted, later)} == {*accepted, later}
    books = shop.audit()
    assert sum(order["charges"] for order in books["orders"]) == orders - declined + 1
    for part in ("worker-1", "worker-2", "relay", "web"):
        lines = text_of(shop.up.home / "log" / f"{part}.log").splitlines()
        assert len(lines) < 30 * orders + 400, f"{part} wrote {len(lines)} lines"
