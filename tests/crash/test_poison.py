"""A step that kills its worker each time uses up its attempts, and nobody else waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from app.store.session import reading
from app.store.tables import jobs
from tests.crash.poisoned import FAULTS
from tests.support.faulty import FaultyShop, faulty_shop
from tests.support.waiting import wait_until

HEALTHY = 10
LEASE_S = 5.0


def slowest_s(shop: FaultyShop, ids: Sequence[str]) -> float:
    """From submission to end by the store's clock, the slowest of them."""
    wait_until(lambda: all(shop.state(job) == "completed" for job in ids), 60, what="the healthy orders")
    with reading(shop.db) as connection:
        rows = connection.execute(select(jobs.c.created_at, jobs.c.finished_at).where(jobs.c.id.in_(ids))).all()
    return max((row.finished_at - row.created_at).total_seconds() for row in rows)


@pytest.mark.long
@pytest.mark.timeout(200)
def test_given_a_step_that_kills_its_worker_each_time_then_it_is_given_up_and_others_wait_for_less_than_a_lease(
    tmp_path: Path, redis_executable: str
) -> None:
    with faulty_shop(tmp_path / "home", FAULTS, sagas="tests.crash.poisoned", LEASE_SECONDS=f"{LEASE_S:g}") as shop:
        shop.orders(4)
        shop.land(60)
        alone_s = slowest_s(shop, shop.orders(HEALTHY))
        poison = shop.order("poisoned")
        beside_s = slowest_s(shop, shop.orders(HEALTHY))
        wait_until(lambda: shop.state(poison) == "failed", 60, what="the poison to be given up")
        assert beside_s - alone_s < LEASE_S
        assert shop.operation(poison, "charge_card").attempts == shop.operation(poison, "charge_card").allowance == 5
        assert [(letter.step, letter.why, letter.blocking) for letter in shop.letters(poison)] == [("charge_card", "exhausted", False)]
        assert len(shop.fired()) == 5  # and no more: a restart of a worker does not begin anew
        assert len({fired.pid for fired in shop.fired()}) == 5
        (order,) = [order for order in shop.audit()["orders"] if order["job"] == poison]
        assert (order["state"], order["charges"], order["reserved"]) == ("voided", 0, 0)
