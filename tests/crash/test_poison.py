"""A step that kills its worker each time uses up its attempts, and nobody else waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.poisoned import FAULTS
from tests.support.faulty import faulty_shop
from tests.support.waiting import wait_until

HEALTHY = 10
LEASE_S = 15.0  # much longer than orders take on a busy machine, and nobody waits for it


@pytest.mark.long
@pytest.mark.timeout(400)
def test_given_a_step_that_kills_its_worker_each_time_then_it_is_given_up_and_others_wait_for_less_than_a_lease(
    tmp_path: Path, redis_executable: str
) -> None:
    with faulty_shop(
        tmp_path / "home",
        FAULTS,
        sagas="tests.crash.poisoned",
        SUREFOOT_LEASE_SECONDS=f"{LEASE_S:g}",
    ) as shop:
        shop.orders(4)
        shop.land(120)
        alone_s = shop.took_s(shop.orders(HEALTHY))
        poison = shop.order("poisoned")
        beside_s = shop.took_s(shop.orders(HEALTHY))
        wait_until(lambda: shop.state(poison) == "failed", 120, what="the poison to be given up")
        assert beside_s - alone_s < LEASE_S
        assert (
            shop.operation(poison, "charge_card").attempts
            == shop.operation(poison, "charge_card").max_attempts
            == 5
        )
        assert [(letter.step, letter.why, letter.blocking) for letter in shop.letters(poison)] == [
            ("charge_card", "exhausted", False)
        ]
        assert len(shop.fired()) == 5  # and no more: a restart of a worker does not begin anew
        assert len({fired.pid for fired in shop.fired()}) == 5
        (order,) = [order for order in shop.audit()["orders"] if order["job"] == poison]
        assert (order["state"], order["charges"], order["reserved"]) == ("voided", 0, 0)
