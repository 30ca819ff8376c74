"""What a person waives: a letter of a service is discarded, and the order that waited for it ends and says without what."""

from __future__ import annotations

import re
from typing import Any

import pytest

from surefoot import Context, Rejected
from surefoot.workers.sagas.order.models import Created
from surefoot.workers.sagas.order.services import inventory, mail
from surefoot.workers.sagas.order_choreographed import saga
from surefoot.workers.sagas.order_choreographed.services import order_flows, orders
from tests.support.choreography import BY_NAME, Bank, Street, away, request_of

WHY = "paid back in cash"
SENTENCE = "ada waived what payments was to do about OrderGivenUp: paid back in cash"


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_EVENTS_PATIENT_ATTEMPTS", "2")


def wear_out(street: Street) -> None:
    for _ in range(4):
        street.settle()
        street.work_due()


def discard(street: Street, service: str) -> None:
    (letter,) = open_letters(street, service)
    assert BY_NAME[service].discard(letter.id, "ada", WHY)
    assert not BY_NAME[service].discard(letter.id, "ada", "once more")


def open_letters(street: Street, service: str) -> list[Any]:
    return [row for row in street.letters(service) if row.resolution is None]


def refund_fails(street: Street, bank: Bank) -> None:
    """job-1 is charged and given up, and its refund is out of attempts."""
    street.place(quantity=1000, sku="none-such")
    street.send_all()
    street.deliver_kind("OrderPlaced", "payments")
    bank.before = away
    wear_out(street)
    assert street.phase() == "given_up"


def test_given_a_refund_out_of_attempts_when_its_letter_is_discarded_then_the_order_is_voided_and_says_without_what(
    any_street: Street, bank: Bank
) -> None:
    refund_fails(any_street, bank)
    discard(any_street, "payments")
    any_street.settle()
    standing = orders.standing("job-1")
    assert standing is not None
    assert (standing.phase, standing.help, standing.without) == ("voided", None, SENTENCE)
    orders.ask_again()
    any_street.send_all()
    assert any_street.bus.on_the_way == [], "nobody asks for it any longer"
    with pytest.raises(
        Rejected, match=re.escape(SENTENCE)
    ):  # the undo of its job: so a person is asked about it
        any_street.withdraw()
    bank.before = lambda key: None
    assert any(
        "refunded" in sentence or "charged" in sentence
        for sentence in any_street.violations(settled=True)
    ), "the books still tell"


def test_given_the_word_of_a_waiver_is_lost_when_orders_asks_again_then_it_is_said_again(
    street: Street, bank: Bank
) -> None:
    refund_fails(street, bank)
    discard(street, "payments")
    street.send_all()
    assert ("WorkWaived", "orders") in street.under_way()
    street.bus.on_the_way.clear()
    assert orders.ask_again() == 1
    street.settle()
    assert street.phase() == "voided"


def test_given_a_receipt_that_cannot_be_sent_when_its_letter_is_discarded_then_the_order_is_completed_and_its_job_asks(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "send_receipt", lambda ctx, o: away(ctx.key))
    street.place()
    wear_out(street)
    assert street.phase() == "confirmed"
    discard(street, "mail")
    street.settle()
    assert street.phase() == "completed"
    created = Created(order_id=1, order_ref="job:job-1")
    with pytest.raises(Rejected, match="ada waived what mail was to do about OrderShipped"):
        saga.await_completion(
            Context("job-1", "order_choreographed", "await_completion"), request_of(), created
        )


def test_given_goods_that_cannot_be_shipped_when_the_letter_is_discarded_then_the_order_is_completed_without(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "ship", lambda ctx, reservation: away(ctx.key))
    street.place()
    wear_out(street)
    discard(street, "inventory")
    street.settle()
    assert street.phase() == "completed"
    assert (
        standing := orders.standing("job-1")
    ) and "inventory was to do about OrderConfirmed" in (standing.without or "")


def test_given_orders_itself_cannot_take_an_answer_in_when_its_letter_is_discarded_then_the_order_is_undone_whole(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = order_flows.note_answer

    def no_charge(tx: Any, job: str, **answer: Any) -> None:
        if "charged" in answer:
            raise RuntimeError("a mistake in the code that takes charges in")
        note(tx, job, **answer)

    monkeypatch.setattr(orders, "note_answer", no_charge)
    street.place()
    wear_out(street)
    assert street.phase() == "placed"
    discard(street, "orders")
    street.settle()
    standing = orders.standing("job-1")
    assert standing is not None
    assert (standing.phase, standing.without) == ("voided", None)
    assert street.violations(settled=True) == []
    assert street.withdraw() is not None


def test_given_a_letter_that_needs_no_person_when_it_is_discarded_then_nobody_is_told(
    street: Street, bank: Bank
) -> None:
    bank.before = away
    street.place()
    while street.phase() == "placed":
        street.settle()
        street.work_due()
    letter = next(row for row in open_letters(street, "payments") if row.kind == "OrderPlaced")
    assert not letter.needs_person
    assert BY_NAME["payments"].discard(letter.id, "ada", WHY)
    assert "WorkWaived" not in street.said("payments")


def test_given_two_undos_waived_one_after_the_other_then_the_order_waits_for_both(
    street: Street, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "release", lambda ctx: away(ctx.key))
    street.place(card="tok_ok")
    street.withdraw()
    bank.before = away
    wear_out(street)
    assert street.phase() == "given_up"
    discard(street, "payments")
    street.settle()
    assert street.phase() == "given_up"
    discard(street, "inventory")
    street.settle()
    assert street.phase() == "voided"
    assert (standing := orders.standing("job-1")) and (standing.without or "").count(
        "ada waived"
    ) == 2
