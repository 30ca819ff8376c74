"""Processes whose clocks are five minutes off, and a whole system that slept for ten minutes: only the store's clock counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surefoot.app.store.worker_register import live_workers
from tests.support.faulty import FaultyShop
from tests.support.linked import QUICK, LinkedUp
from tests.support.orders import Shop
from tests.support.running import ROOT, Up
from tests.support.waiting import wait_until
from tests.support.world import let_pass

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

# Python's own hook at start: from then on this process believes that it is another time.
SHIFTED = """import time as _time
_time.time = lambda _now=_time.time: _now() + {seconds}
_time.time_ns = lambda _now=_time.time_ns: _now() + {seconds} * 10**9
open({seen!r}, "a").close()
"""
CLOCKS_S = {"worker-1": 300, "relay": -300, "web": -300}
STOPPED_S = 600.0
LEASE_S = 5.0
SEEN = "seen"


def clock(place: Path, seconds: int) -> dict[str, str]:
    place.mkdir(parents=True)
    (place / "sitecustomize.py").write_text(SHIFTED.format(seconds=seconds, seen=str(place / SEEN)))
    return {"PYTHONPATH": f"{place}:{ROOT}"}


def test_given_clocks_that_are_minutes_off_when_steps_outlast_their_lease_then_nothing_expires_and_each_is_done_once(
    tmp_path: Path,
) -> None:
    slow = {"SUREFOOT_BANK_SLOW_SECONDS": f"{LEASE_S + 1:g}", "SUREFOOT_BANK_TIMEOUT_SECONDS": "25"}
    told = {part: clock(tmp_path / part, seconds) for part, seconds in CLOCKS_S.items()}
    up = LinkedUp(
        tmp_path / "home",
        LINKS=json.dumps(told),
        **{**QUICK, "SUREFOOT_LEASE_SECONDS": f"{LEASE_S:g}", **slow},
    )
    try:
        shop = FaultyShop(up.start())
        try:
            wait_until(lambda: len(live_workers(shop.db)) == 2, 60, what="both workers")
            orders = shop.orders(6, ("tok_slow",))
            assert shop.land(150) == {"completed": 6}
            shop.audit()
            assert all((tmp_path / part / SEEN).exists() for part in CLOCKS_S)
            assert len({row.worker_id for row in shop.operations() if row.worker_id}) == 2, (
                "the worker with the wrong clock has done nothing"
            )
            assert {
                row.attempts
                for row in shop.operations()
                if row.step == "charge_card" and row.kind == "action"
            } == {1}
            assert not [
                event
                for order in orders
                for event in shop.history(order)
                if event.event == "attempt_lost"
            ]
        finally:
            shop.close()
    finally:
        up.close()


def test_given_everything_killed_in_mid_flow_when_it_is_started_ten_minutes_later_then_all_lands_once(
    tmp_path: Path,
) -> None:
    up = Up(
        tmp_path / "home", **{**QUICK, "SUREFOOT_LEASE_SECONDS": "8"}
    )  # attempts are counted: none is to be lost by a pause of the machine
    try:
        shop = Shop(up.start())
        orders = shop.orders(8, ("tok_slow", "tok_ok", "tok_declined", "tok_lost"))
        wait_until(
            lambda: any(row.state == "running" for row in shop.operations()),
            60,
            what="something under way",
        )
        up.kill()
        let_pass(shop.db, STOPPED_S)
        shop.close()
        shop = Shop(up.start())
        assert shop.land(120) == {"completed": 6, "failed": 2}
        books = shop.audit()
        assert sum(order["charges"] - order["refunds"] for order in books["orders"]) == 6
        assert {shop.job(order)["id"] for order in orders} == set(orders)
        assert max(row.attempts for row in shop.operations()) <= 3
        shop.close()
    finally:
        up.close()
