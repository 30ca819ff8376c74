"""Orders of one article beside as many of as many articles: the semantic lock is on the order, so they do not wait for each other."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services.database import close_databases
from tests.support.orders import Shop
from tests.support.running import Up
from tests.support.waiting import wait_until

ORDERS = int(
    os.environ.get("ARTICLE_ORDERS", "60")
)  # of each kind in a round; 1000 for the numbers in docs/performance.md
ROUNDS = int(os.environ.get("ARTICLE_ROUNDS", "2"))


@pytest.fixture
def shop(
    tmp_path: Path, fresh_postgres: str, redis_executable: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    monkeypatch.setenv("DATABASE_URL", fresh_postgres)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
    up = Up(tmp_path / "home", DATABASE_URL=fresh_postgres)
    try:
        shop = Shop(up.start())
        for number in range(ORDERS):
            inventory.set_initial(f"article-{number}", 10 * ROUNDS)
        inventory.set_initial("one", 10 * ORDERS * ROUNDS)
        yield shop
        shop.close()
    finally:
        close_databases()
        up.close()


def completed(shop: Shop) -> int:
    with reading(shop.db) as connection:
        return int(
            connection.execute(
                select(func.count()).select_from(jobs).where(jobs.c.state == "completed")
            ).scalar_one()
        )


def run(shop: Shop, name: str, round_: int, many: bool) -> float:
    """Orders per second, from the first request to the last end."""
    before, began = completed(shop), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: shop.order(
                    sku=f"article-{n}" if many else "one", order_ref=f"{name}-{round_}-{n}"
                ),
                range(ORDERS),
            )
        )
    wait_until(
        lambda: completed(shop) == before + ORDERS,
        60 + ORDERS,
        every_s=0.2,
        what="all orders to be completed",
    )
    return ORDERS / (time.monotonic() - began)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_given_orders_of_one_article_and_of_many_when_run_in_turn_then_all_complete_and_the_rates_are_told(
    shop: Shop,
) -> None:
    run(shop, "warm", 0, many=True)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for round_ in range(ROUNDS):
        for many in (True, False) if round_ % 2 else (False, True):
            rates[many].append(run(shop, "many" if many else "one", round_, many))
    for many, found in rates.items():
        print(
            f"{'many articles' if many else 'one article':14} {statistics.median(found):6.2f} orders/s; {found}"
        )
    ratios = [one / many for one, many in zip(rates[False], rates[True], strict=True)]
    print(f"one / many: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    assert psutil.pid_exists(shop.up.process.pid)
    assert (
        shop.audit()["stock"]["one"]["sold"] == ORDERS * ROUNDS
    )  # a rate never fails a build; a count does
