from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from surefoot import NEVER, Happened, NothingSent, Rejected
from surefoot.app.participant import ActionUndone, EffectState
from surefoot.workers.sagas.order.services import bank_client, payment
from surefoot.workers.sagas.order.services.bank_client import BankUnclear
from tests.support.waiting import wait_until

ON_SQLITE = pytest.mark.parametrize(
    "services", ["sqlite"], indirect=True
)  # where the database is not the question


def states() -> list[str]:
    return [row.state for row in payment.all_charges()]


def kinds() -> list[str]:
    return [m.kind for m in bank_client.book().movements]


def lose_answer(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Charge the card: the bank does it, perhaps a moment after we have ceased to wait for its answer."""
    with monkeypatch.context() as patched, pytest.raises(BankUnclear):
        patched.setenv("SUREFOOT_BANK_TIMEOUT_SECONDS", "0.5")
        payment.charge(context("charge_card"), 1, 1250, "tok_lost")
    wait_until(lambda: kinds() == ["charge"], what="the bank to have charged")


@pytest.fixture(autouse=True)
def _with_bank(bank: str) -> None:
    return None


def test_given_card_when_charged_five_times_then_one_charge(context: Any) -> None:
    assert (
        len(
            {payment.charge(context("charge_card", attempt=n), 1, 1250, "tok_ok") for n in range(5)}
        )
        == 1
    )
    assert states() == ["settled"]
    assert kinds() == ["charge"]


@pytest.mark.parametrize("card", ["tok_declined", "tok_what"])
def test_given_bank_says_no_when_charged_then_rejected_each_time(context: Any, card: str) -> None:
    for attempt in (1, 2):
        with pytest.raises(Rejected):
            payment.charge(context("charge_card", attempt=attempt), 1, 1250, card)
    assert states() == ["declined"]
    assert payment.find(context("charge_card")) is NEVER
    assert kinds() == []


def test_given_lost_answer_when_probed_then_found_and_a_repeat_has_the_same_charge(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(context, monkeypatch)
    assert states() == ["intent"]
    found = payment.find(context("charge_card"))
    assert isinstance(found, Happened)
    assert states() == [
        "settled"
    ]  # the engine takes the probe's word for the action's, and does not run it again
    assert payment.charge(context("charge_card", attempt=2), 1, 1250, "tok_lost") == found.result
    assert states() == ["settled"]
    assert kinds() == ["charge"]


def test_given_little_time_left_when_charged_then_the_call_ends_in_time(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_BANK_HANG_SECONDS", "20")
    began = time.monotonic()
    with pytest.raises(BankUnclear):
        payment.charge(context("charge_card", deadline=time.monotonic() + 1.5), 1, 1250, "tok_lost")
    assert (
        time.monotonic() - began < 15
    )  # less than SUREFOOT_BANK_HANG_SECONDS, after which the bank would have answered
    with pytest.raises(NothingSent):
        payment.charge(
            context("charge_card", job="job-2", deadline=time.monotonic() - 1), 1, 1250, "tok_ok"
        )


def test_given_charge_when_refunded_repeatedly_then_once(context: Any) -> None:
    payment.charge(context("charge_card"), 1, 1250, "tok_ok")
    refunds = [payment.refund(context("charge_card", "undo"), 1250) for _ in range(3)]
    assert {(r.state, r.refunded_cents) for r in refunds} == {("refunded", 1250)}
    assert states() == ["refunded"]
    assert kinds() == ["charge", "refund"]
    with pytest.raises(ActionUndone):
        payment.charge(context("charge_card", attempt=2), 1, 1250, "tok_ok")


def test_given_no_charge_when_undone_then_void_here_and_at_the_bank(context: Any) -> None:
    assert payment.refund(context("charge_card", "undo"), 1250).state == "void"
    assert states() == ["void"]
    assert bank_client.look(context("charge_card").key).state == "void"  # type: ignore[union-attr]
    with pytest.raises(ActionUndone):
        payment.charge(context("charge_card"), 1, 1250, "tok_ok")
    assert kinds() == []


def test_given_lost_answer_when_probed_for_the_undo_then_told_but_not_recorded(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(context, monkeypatch)
    assert isinstance(payment.find(context("charge_card", "undo")), Happened)
    assert states() == ["intent"]
    assert payment.refund(context("charge_card", "undo"), 1250).state == "refunded"
    assert payment.find(context("charge_card")) is NEVER
    assert states() == ["refunded"]


def test_given_probe_overtaken_by_the_undo_when_it_would_record_then_never(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment.charge(context("charge_card"), 1, 1250, "tok_ok")
    seen = bank_client.look_for(context("charge_card"))
    payment.refund(context("charge_card", "undo"), 1250)
    monkeypatch.setattr(bank_client, "look_for", lambda _: seen)
    assert payment.find(context("charge_card")) is NEVER
    assert states() == ["refunded"]


def test_given_lost_answer_when_undone_then_the_money_is_back(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(context, monkeypatch)
    assert payment.refund(context("charge_card", "undo"), 1250).refunded_cents == 1250
    assert states() == ["refunded"]
    assert kinds() == ["charge", "refund"]


@pytest.mark.parametrize("frozen", ["before its call", "after its call"])
def test_given_worker_frozen_around_its_call_when_it_thaws_after_the_undo_then_no_money_stays(
    context: Any, monkeypatch: pytest.MonkeyPatch, frozen: str
) -> None:
    call = bank_client.charge

    def slow_charge(*args: Any) -> Any:
        if frozen == "before its call":
            payment.refund(context("charge_card", "undo"), 1250)
        answer = call(*args)
        if frozen == "after its call":
            payment.refund(context("charge_card", "undo"), 1250)
        return answer

    monkeypatch.setattr(bank_client, "charge", slow_charge)
    with pytest.raises(ActionUndone):
        payment.charge(context("charge_card"), 1, 1250, "tok_ok")
    assert states() == [{"before its call": "void", "after its call": "refunded"}[frozen]]
    assert kinds() in ([], ["charge", "refund"])


def test_given_undo_crashed_before_its_call_when_repeated_then_the_bank_is_asked(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment.charge(context("charge_card"), 1, 1250, "tok_ok")

    def crash(*_: Any) -> None:
        raise RuntimeError("the worker died here")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(bank_client, "void", crash)
        payment.refund(context("charge_card", "undo"), 1250)
    assert kinds() == ["charge"]
    assert payment.refund(context("charge_card", "undo", attempt=2), 1250).state == "refunded"
    assert kinds() == ["charge", "refund"]


def test_given_charges_and_undos_when_they_race_then_charges_equal_refunds(
    context: Any, threads: ThreadPoolExecutor
) -> None:
    def act(n: int) -> None:
        try:
            payment.charge(context("charge_card", job=f"job-{n}"), n, 100, "tok_ok")
        except ActionUndone:
            pass

    def undo(n: int) -> None:
        payment.refund(context("charge_card", "undo", job=f"job-{n}"), 100)

    for future in [threads.submit(work, n) for n in range(6) for work in (act, undo, act, undo)]:
        future.result(30)
    assert kinds().count("charge") == kinds().count("refund") <= 6
    assert set(states()) <= {"refunded", "void"}


@ON_SQLITE
def test_given_no_bank_when_charged_then_nothing_was_sent(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_BANK_URL", "http://127.0.0.1:1")
    with pytest.raises(NothingSent):
        payment.charge(context("charge_card", deadline=math.inf), 1, 1250, "tok_ok")
    monkeypatch.delenv("SUREFOOT_BANK_URL")
    with pytest.raises(NothingSent, match="surefoot bank"):
        payment.charge(context("charge_card"), 1, 1250, "tok_ok")


def test_given_charges_when_read_as_effects_then_in_the_banks_word(context: Any) -> None:
    payment.charge(context("charge_card", job="a"), 1, 100, "tok_ok")
    payment.charge(context("charge_card", job="b"), 2, 100, "tok_ok")
    payment.refund(context("charge_card", "undo", job="b"), 100)
    payment.refund(context("charge_card", "undo", job="c"), 100)
    seen = payment.seen(f"{job}:charge_card::action" for job in "abcd")
    assert [(s.key[0], s.state) for s in seen] == [
        ("a", EffectState.DONE),
        ("b", EffectState.UNDONE),
        ("c", EffectState.NONE),
    ]
