"""Workers that stand still: for a moment, which costs nothing; for longer than their lease, and then they wake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty import FaultyShop, faulty_shop
from tests.support.freezing import frozen_in_mid_charge
from tests.support.waiting import wait_until

HEARTBEAT_S, LEASE_S = 1.0, 8.0  # what a pause leaves of a lease is for the machine's own pauses
PAUSE_S = 2 * HEARTBEAT_S
SLOW_S = 6.0  # the bank's slow card

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture
def shop(tmp_path: Path, store_url: str, redis_executable: str) -> Iterator[FaultyShop]:
    leases = {
        "SUREFOOT_LEASE_SECONDS": f"{LEASE_S:g}",
        "SUREFOOT_HEARTBEAT_SECONDS": f"{HEARTBEAT_S:g}",
    }
    bank = {"SUREFOOT_BANK_SLOW_SECONDS": f"{SLOW_S:g}", "SUREFOOT_BANK_TIMEOUT_SECONDS": "30"}
    with faulty_shop(tmp_path / "home", "", database_url=store_url, **leases, **bank) as shop:
        yield shop


def stand_still(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, seconds + 5, what="the pause")


def test_given_a_pause_of_two_heartbeats_then_nothing_is_lost_and_no_attempt_is_used(
    shop: FaultyShop,
) -> None:
    with frozen_in_mid_charge(shop, whole=False) as (child_alone, _):
        stand_still(PAUSE_S)
    with frozen_in_mid_charge(shop, whole=True) as (whole_worker, _):
        stand_still(PAUSE_S)
    assert set(shop.land(120)) == {"completed"}
    for job in (child_alone, whole_worker):
        assert {row.attempts for row in shop.operations() if row.job_id == job} == {1}
        assert not [
            line
            for line in shop.history(job)
            if line.event in ("attempt_lost", "late_result_refused")
        ]
    shop.audit()


def test_given_a_worker_frozen_past_its_lease_then_another_completes_and_what_wakes_is_refused_stops_and_serves_on(
    shop: FaultyShop,
) -> None:
    with frozen_in_mid_charge(shop, whole=True) as (job, main):
        worker_id = shop.operation(job, "charge_card").worker_id
        wait_until(
            lambda: shop.state(job) == "completed", 120, what="another worker to complete the order"
        )
        ended = len(shop.history(job))
        assert shop.operation(job, "charge_card").attempts >= 2
        assert shop.operation(job, "charge_card").worker_id != worker_id
    wait_until(lambda: len(shop.history(job)) > ended, 60, what="the late result to be refused")
    (late,) = shop.history(job)[ended:]
    assert (late.event, late.detail["step"]) == ("late_result_refused", "charge_card")
    assert (late.detail["attempt"], late.detail["fence"]) == (1, 1)
    assert late.detail["now_fence"] >= 2

    def at_work_again() -> bool:
        more = shop.orders(8)
        assert set(shop.land(120)) == {"completed"}
        return worker_id in {row.worker_id for row in shop.operations() if row.job_id in more}

    wait_until(at_work_again, 120, what="the worker that was frozen to do a step again")
    assert main.is_running()
    shop.audit()
