"""A lane whose only worker is gone for good, and a bank that is: all lands or asks a person, and a redrive lands the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.freezing import frozen
from tests.support.lanes_apart import LanesApart
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
LOST = 8  # orders whose charge nobody comes for: one in the middle of it


@pytest.fixture
def apart(redis_server: RedisServer, tmp_path: Path) -> Iterator[LanesApart]:
    made = LanesApart(tmp_path / "home", redis_server.url)
    try:
        yield made.start()
    finally:
        made.close()


def lost_in_mid_charge(apart: LanesApart, lane: str, behind: int = 0) -> tuple[str, Counter[str]]:
    """Kill the worker of a lane while a charge is under way, and so many orders are behind it.

    Returns the order of that charge, and the states of all that had landed before. It had to stand still first: where the
    charge was over by then all lands, and there is another.
    """

    def lost() -> tuple[str, Counter[str]] | None:
        before = apart.rest(120)
        job = apart.order(card="tok_slow")
        wait_until(
            lambda: apart.operation(job, "charge_card").state == "running",
            60,
            what="a charge under way",
        )
        for _ in range(behind):
            apart.order()
        with frozen(apart.home, apart.workers[lane].all()):
            if apart.operation(job, "charge_card").state != "running":
                return None
            apart.workers[lane].kill()
        return job, before

    found = wait_until(lost, 120, what="a worker to be lost in mid charge")
    assert found is not None
    return found


def test_given_payments_worker_gone_in_mid_charge_then_orders_land_or_ask_and_a_new_worker_and_a_redrive_land_all(
    apart: LanesApart,
) -> None:
    paid = [apart.order() for _ in range(3)]
    assert apart.rest(120) == {"completed": len(paid)}
    _, before = lost_in_mid_charge(apart, "payments", behind=LOST - 1)
    assert set(before) == {"completed"}
    states = apart.rest(120) - before
    assert states["completed"] == 0
    assert states["failed"] + states["attention"] == LOST
    asked = [letter for letter in apart.letters() if letter.blocking]
    assert states["attention"] == len({letter.job_id for letter in asked})
    for letter in asked:
        assert (letter.step, letter.kind, letter.why) == ("charge_card", "undo", "queue_timeout")
    given_up = [letter for letter in apart.letters() if not letter.blocking]
    assert len(given_up) == LOST
    assert {(letter.step, letter.why) for letter in given_up} == {("charge_card", "queue_timeout")}
    wait_until(
        lambda: apart.dead_depth() == len(apart.letters()),
        60,
        what="the lane dead to show every open letter",
    )

    apart.start_worker("payments")
    apart.cli(
        "dead-letters", "redrive", "--all", "--rate", "5", "--ramp", "2", "--reason", "a new worker"
    )
    wait_until(lambda: not apart.letters(), 90, 0.5, what="every letter to be sent back")
    assert apart.rest(90) - before == {"completed": LOST, "failed": LOST}
    books = apart.audit()
    assert (
        sum(order["charges"] == 1 and not order["refunds"] for order in books["orders"])
        == before["completed"] + LOST
    )
    wait_until(lambda: apart.dead_depth() == 0, 60, what="the lane dead to be empty")


def test_given_bank_gone_for_good_then_its_step_uses_its_attempts_and_all_is_undone_and_before_an_undo_a_person_is_asked(
    apart: LanesApart,
) -> None:
    charged, before = lost_in_mid_charge(
        apart, "orders"
    )  # so it never comes to the pivot, and has to be undone
    assert set(before) <= {"completed"}
    wait_until(
        lambda: apart.operation(charged, "charge_card").state == "completed", 30, what="the charge"
    )
    apart.stop("bank")
    wait_until(
        lambda: apart.states()["compensating"] == 1, 60, what="the order to turn, for nobody came"
    )
    apart.start_worker("orders")
    assert apart.rest(90) - before == {"attention": 1}
    (asked,) = [letter for letter in apart.letters() if letter.blocking]
    assert (asked.job_id, asked.step, asked.kind, asked.why) == (
        charged,
        "charge_card",
        "undo",
        "exhausted",
    )
    assert asked.attempts >= 3  # those that never reached the bank are bounded by time

    lost = apart.order()
    assert apart.rest(90) - before == {"attention": 1, "failed": 1}
    row = apart.operation(lost, "charge_card")
    assert row.state == "failed" and row.attempts >= 3
    (given_up,) = [letter for letter in apart.letters() if letter.job_id == lost]
    assert (given_up.step, given_up.kind, given_up.why, given_up.blocking) == (
        "charge_card",
        "action",
        "exhausted",
        False,
    )
    assert apart.operation(lost, "reserve_stock", "undo").state == "completed"

    apart.start_bank()
    apart.cli("dead-letters", "redrive", "--all", "--rate", "5", "--reason", "the bank is back")
    wait_until(lambda: not apart.letters(), 60, 0.5, what="every letter to be sent back")
    assert apart.rest(90) - before == {"completed": 2, "failed": 2}
    books = apart.audit()
    assert sorted(order["charges"] - order["refunds"] for order in books["orders"]) == [
        0,
        0,
        1,
        1,
        *[1] * before["completed"],
    ]
