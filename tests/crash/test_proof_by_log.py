"""What an operator can read afterwards: that a message came again and was skipped, and who carried on what was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty import WORKERS, FaultyShop, faulty_shop
from tests.support.waiting import wait_until

STANDS = "order.reserve_stock:delay=50@after_effect"  # longer than anybody waits for the charge's message to come again
FAULTS = f"order.charge_card:crash@before_ack; {STANDS}"
KILLED = ("web", "relay", *WORKERS)


def lines(shop: FaultyShop, event: str, operation: str) -> list[dict[str, Any]]:
    return [
        line
        for line in shop.lines(*WORKERS)
        if (line.get("event"), line.get("operation")) == (event, operation)
    ]


@pytest.mark.long
@pytest.mark.timeout(500)
def test_given_charge_delivered_again_and_everything_killed_in_mid_flow_when_logs_and_history_are_read_then_both_are_told(
    tmp_path: Path, redis_executable: str
) -> None:
    with faulty_shop(tmp_path / "home", FAULTS) as shop:
        job = shop.order()

        # the charge is done, its worker's child dies before the broker is told, and the message comes again
        skipped = wait_until(
            lambda: lines(shop, "message_skipped", "charge_card.action"),
            120,
            what="the charge's message to come again",
        )
        told = {name: skipped[0][name] for name in ("job", "attempt", "fence", "state", "why")}
        assert told == {
            "job": job,
            "attempt": 1,
            "fence": 1,
            "state": "completed",
            "why": "it has been done already",
        }

        # in the middle of the other step web, relay and both workers are killed together
        wait_until(
            lambda: STANDS in {fired.fault for fired in shop.fired()},
            60,
            what="the other step to have done its work",
        )
        killed = [shop.up.pid_of(part) for part in KILLED]
        for pid in killed:
            os.killpg(pid, signal.SIGKILL)
        wait_until(lambda: shop.state(job) == "completed", 150, what="the order to land")
        resumed = lines(shop, "resumed", "reserve_stock.action")
        assert [(line["job"], line["attempt"], line["fence"]) for line in resumed] == [(job, 2, 2)]

        history = shop.up.json("jobs", "history", job)
        of_stock = [
            (item["event"], item["attempt"]) for item in history if item["step"] == "reserve_stock"
        ]
        assert of_stock == [("attempt_lost", 1), ("completed", 2)]
        left, taken_up = (item["detail"] for item in history if item["step"] == "reserve_stock")
        assert left["error"]["type"] == "LeaseExpired"
        assert left["worker"] != taken_up["worker"] == resumed[0]["worker"]
        assert [item["attempt"] for item in history if item["step"] == "charge_card"] == [1]
        books = shop.audit()
        assert [
            (order["charges"], order["refunds"], order["state"]) for order in books["orders"]
        ] == [(1, 0, "shipped")]
