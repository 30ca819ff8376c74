"""A child of a real worker is killed at every point of every operation: the order lands, once, and soon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from surefoot.app.faults import Point
from tests.crash.windows import COUNTED, WINDOWS, Window, faults_of
from tests.support.faulty import FaultyShop, Fired, faulty_shop
from tests.support.waiting import wait_until

AT_ONCE = 3  # orders under way: each takes a child away, and there are four
LAND_S = 120.0


def pass_through(shop: FaultyShop, windows: Sequence[Window]) -> None:
    """An order for each window; some at a time, or waiting for a child would be counted as recovering."""
    jobs: dict[str, Window] = {}
    within = timedelta(seconds=shop.recovery_s())
    for start in range(0, len(windows), AT_ONCE):
        batch = {
            shop.order(saga=window.name): window for window in windows[start : start + AT_ONCE]
        }
        wait_until(
            lambda batch=batch: all_landed(shop, batch),
            LAND_S,
            what=", ".join(w.name for w in batch.values()),
        )  # type: ignore[misc]
        jobs |= batch
    fired = {fault.fault: fault for fault in shop.fired()}
    for job, window in jobs.items():
        assert set(window.fired) <= set(fired), window
        row = shop.operation(job, window.step, window.kind)
        assert row.attempts == window.attempts, window
        if window.ends != "attention":
            assert (
                shop.job(job)["outcome"] == {"completed": "done", "failed": "undone"}[window.ends]
            ), window
        check_recovery(shop, job, window, fired[window.fired[-1]], within)
    assert shop.counted() == {fault: 1 for window in windows for fault in window.fired}


def all_landed(shop: FaultyShop, batch: dict[str, Window]) -> bool:
    return all(shop.state(job) == window.ends for job, window in batch.items())


def check_recovery(
    shop: FaultyShop, job: str, window: Window, fault: Fired, within: timedelta
) -> None:
    """By the store's times: the attempt after the one that was lost has ended by then."""
    if ":crash@" not in fault.fault:
        return
    later = [line for line in shop.history(job) if line.at > fault.at]
    point = Point(fault.fault.rpartition("@")[2])
    if point in (*COUNTED, Point.BEFORE_CLAIM):
        later = [
            line
            for line in later
            if (line.event, line.step, line.kind) == ("completed", window.step, window.kind)
        ]
        assert later, window
    if later:
        assert later[0].at - fault.at < within, window


def settle(shop: FaultyShop) -> None:
    """A person sees to what asks for one; then nothing is open, and the books agree."""
    for asked in shop.up.json("attention", "list"):
        shop.up.command(
            "attention",
            "redrive",
            asked["job"],
            asked["step"],
            "--reason",
            "the refusal was injected",
        )
    assert set(shop.land(LAND_S)) <= {"completed", "failed"}
    shop.audit()


@pytest.mark.timeout(400)
def test_given_a_child_is_killed_around_a_charge_and_its_refund_then_every_order_lands_soon_and_once(
    tmp_path: Path, redis_executable: str
) -> None:
    few = tuple(window for window in WINDOWS if window.quick)
    with faulty_shop(tmp_path / "home", faults_of(few), sagas="tests.crash.windows") as shop:
        pass_through(shop, few)
        settle(shop)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_given_a_fault_at_each_point_of_each_operation_then_every_order_lands_soon_and_once(
    tmp_path: Path, store_url: str, redis_executable: str
) -> None:
    with faulty_shop(
        tmp_path / "home", faults_of(WINDOWS), sagas="tests.crash.windows", database_url=store_url
    ) as shop:
        pass_through(shop, WINDOWS)
        settle(shop)
