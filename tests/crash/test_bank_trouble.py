"""The bank does what it is asked, and its answer is lost in every way there is; or it is away for longer than all attempts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.crash.undone import FAULTS
from tests.support.faulty import faulty_shop
from tests.support.rogue_bank import rogue_bank
from tests.support.waiting import wait_until

MISCHIEFS = ("hang", "reset", "error", "half")
FORWARD = {701 + n: mischief for n, mischief in enumerate(MISCHIEFS)}
BACK = {801 + n: mischief for n, mischief in enumerate(MISCHIEFS)}
CHARGES_DOWN, VOIDS_DOWN = 901, 902
DOES = {
    **{("charge", amount): (mischief, 1) for amount, mischief in FORWARD.items()},
    **{("void", amount): (mischief, 1) for amount, mischief in BACK.items()},
    ("charge", CHARGES_DOWN): ("down", 1000),
    ("void", VOIDS_DOWN): ("down", 1000),
}


@pytest.mark.long
@pytest.mark.timeout(400)
def test_given_a_bank_that_loses_its_answers_or_is_down_for_all_attempts_then_money_moves_once_and_no_refund_is_dropped(
    tmp_path: Path, redis_executable: str
) -> None:
    home = tmp_path / "home"
    env = {
        "SUREFOOT_BANK_TIMEOUT_SECONDS": "4"
    }  # a bank that is only slow for once must not count as one that hangs
    with (
        rogue_bank(home, DOES) as bank,
        faulty_shop(
            home, FAULTS, sagas="tests.crash.undone", SUREFOOT_BANK_URL=bank.url, **env
        ) as shop,
    ):
        forward = {shop.order("patient", amount_cents=amount): amount for amount in FORWARD}
        back = {shop.order("turning", amount_cents=amount): amount for amount in BACK}
        down = shop.order("hasty", amount_cents=CHARGES_DOWN)
        stuck = shop.order("hasty_turning", amount_cents=VOIDS_DOWN)
        wait_until(
            lambda: shop.state(stuck) == "attention",
            120,
            what="the refund that cannot be made to ask a person",
        )
        moving = ("running", "compensating")
        wait_until(
            lambda: all(shop.state(job) not in moving for job in (*forward, *back, down)),
            120,
            what="the others to land",
        )

        for job, amount in forward.items():
            assert shop.state(job) == "completed", FORWARD[amount]
            assert shop.operation(job, "charge_card").attempts == 2, FORWARD[
                amount
            ]  # the second asked the bank, and found it
            assert bank.asked["charge", f"{job}:charge_card::action"] == 1, FORWARD[amount]
        for job, amount in back.items():
            assert shop.state(job) == "failed", BACK[amount]
            assert shop.operation(job, "charge_card", "undo").attempts == 2, BACK[amount]
        assert sum(bank.spoiled.values()) >= len(FORWARD) + len(BACK) + 3 + 2

        # Down for all attempts: forward, the order is undone by itself; a refund is never dropped.
        assert shop.state(down) == "failed"
        assert shop.operation(down, "charge_card").attempts == 3
        assert [
            (letter.step, letter.kind, letter.why, letter.blocking) for letter in shop.letters(down)
        ] == [("charge_card", "action", "exhausted", False)]
        assert shop.operation(stuck, "charge_card", "undo").attempts == 2
        assert [
            (letter.step, letter.kind, letter.why, letter.blocking)
            for letter in shop.letters(stuck)
        ] == [("charge_card", "undo", "exhausted", True)]
        bank.mend()
        shop.up.command(
            "attention", "redrive", stuck, "charge_card", "--reason", "the bank is back"
        )
        assert shop.land(120) == {"completed": len(FORWARD), "failed": len(BACK) + 2}
        assert shop.letters(stuck, "closed") and not shop.letters(stuck)
        by_job = {order["job"]: order for order in shop.audit()["orders"]}
        for job in (*back, stuck):
            assert (by_job[job]["charges"], by_job[job]["refunds"]) == (1, 1)
        for job in forward:
            assert (by_job[job]["charges"], by_job[job]["refunds"]) == (1, 0)
        assert by_job[down]["charges"] == 0


AWAY_S = 60.0
AWAY, SHORTLY = (
    951,
    952,
)  # amounts that the bank does not take for a minute, and for its first tries


@pytest.mark.long
@pytest.mark.timeout(400)
def test_given_a_bank_that_is_away_for_a_minute_then_every_healthy_order_waits_for_it_and_completes(
    tmp_path: Path, redis_executable: str
) -> None:
    home = tmp_path / "home"
    does = {("charge", AWAY): ("down", 10_000), ("charge", SHORTLY): ("down", 4)}
    with rogue_bank(home, does) as bank, faulty_shop(home, "", SUREFOOT_BANK_URL=bank.url) as shop:
        waiting = [shop.order("order", amount_cents=AWAY) for _ in range(6)]
        shortly = [shop.order("order", amount_cents=SHORTLY) for _ in range(2)]

        def failing_s(job: str) -> float:
            since = shop.operation(job, "charge_card").failing_since
            return (datetime.now(UTC) - since).total_seconds() if since is not None else 0.0

        wait_until(
            lambda: all(shop.state(job) == "completed" for job in shortly),
            120,
            what="those that were refused for half a minute",
        )
        wait_until(
            lambda: all(failing_s(job) > AWAY_S for job in waiting),
            150,
            0.5,
            what="a minute without the bank",
        )
        assert all(shop.operation(job, "charge_card").attempts > 5 for job in waiting), (
            "more than what was given up after before"
        )
        assert {shop.state(job) for job in waiting} == {"running"}
        bank.mend()
        assert shop.land(150) == {"completed": len(waiting) + len(shortly)}
        assert all(
            (order["charges"], order["refunds"]) == (1, 0) for order in shop.audit()["orders"]
        )
