"""Each service by itself and all together, with the bus in the test's hands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from surefoot import ActionUndone, Context, Rejected
from surefoot.workers.sagas.order.services import bank_book, inventory, mail, payment
from surefoot.workers.sagas.order_choreographed.desk import inbox, outbox
from surefoot.workers.sagas.order_choreographed.events import MAX_EVENT_BYTES, Message, NoEvent
from surefoot.workers.sagas.order_choreographed.service import Service
from surefoot.workers.sagas.order_choreographed.services import SERVICES, orders
from surefoot.workers.sagas.order_choreographed.timeline import read_timeline
from tests.support.choreography import BY_NAME, Bank, Street, away, request_of, silent


def rows_of(street: Street) -> dict[str, Any]:
    """Everything that the services have in their books."""
    return {
        "shelf": inventory.read_all(),
        "charges": payment.all_charges(),
        "bank": bank_book.book(),
        "mails": mail.receipts_by_job(),
        "phase": street.phase(),
        "said": {service.name: street.said(service.name) for service in SERVICES},
    }


# --- the whole way -----------------------------------------------------------------------------------------------
def test_given_a_good_order_when_everybody_reacts_then_it_is_shipped_and_one_receipt_goes_out(
    any_street: Street,
) -> None:
    any_street.place()
    any_street.settle()
    assert any_street.phase() == "completed"
    assert any_street.violations(settled=True) == []
    assert mail.receipts_by_job() == {"job-1": 1}
    assert any_street.said("orders") == ["OrderPlaced", "OrderConfirmed", "OrderCompleted"]


def test_given_a_declined_card_when_everybody_reacts_then_goods_are_back_and_the_order_is_voided_last(
    any_street: Street,
) -> None:
    any_street.place(card="tok_declined")
    any_street.settle()
    assert any_street.phase() == "voided"
    assert any_street.violations(settled=True) == []
    assert inventory.all_stock()[0].on_hand == 1000
    assert any_street.said("inventory") == ["StockReserved", "StockReleased"]
    assert any_street.said("payments") == ["CardDeclined", "CardRefunded"]


def test_given_too_few_goods_when_the_card_was_charged_then_the_money_goes_back(
    street: Street,
) -> None:
    street.place(quantity=1000)
    street.place("job-2", quantity=1)
    street.settle()
    assert (street.phase(), street.phase("job-2")) == ("completed", "voided")
    assert [m["kind"] for m in bank_book.book()["movements"] if m["key"].startswith("job-2")] == [
        "charge",
        "refund",
    ]
    assert street.violations(settled=True) == []


def test_given_the_same_way_through_many_orders_then_each_takes_as_many_messages_and_rows_as_we_say(
    street: Street,
) -> None:
    """The numbers of docs/choreography.md."""
    street.place()
    street.settle()
    with_rows = {}
    for service in SERVICES:
        with service.database.snapshot() as tx:
            counts = [
                tx.execute(
                    select(func.count()).select_from(t).where(t.c.service == service.name)
                ).scalar_one()
                for t in (inbox, outbox)
            ]
        with_rows[service.name] = tuple(counts)
    assert with_rows == {"orders": (3, 3), "inventory": (2, 2), "payments": (1, 1), "mail": (1, 1)}


# --- a repeat changes nothing --------------------------------------------------------------------------------------
STEPS = [
    ("tok_ok", ["OrderPlaced>inventory", "OrderPlaced>payments"]),
    (
        "tok_ok",
        [
            "StockReserved>orders",
            "CardCharged>orders",
            "OrderConfirmed>inventory",
            "OrderShipped>mail",
            "ReceiptSent>orders",
        ],
    ),
    ("tok_declined", ["CardDeclined>orders", "OrderGivenUp>inventory", "OrderGivenUp>payments"]),
    (
        "tok_declined",
        ["StockReleased>orders", "CardRefunded>orders"],
    ),
]


@pytest.mark.parametrize(
    ("card", "step"), [(card, step) for card, steps in STEPS for step in steps]
)
def test_given_an_event_that_was_handled_when_it_comes_five_times_more_then_nothing_changes(
    street: Street, card: str, step: str
) -> None:
    kind, to = step.split(">")
    street.place(card=card)
    for _ in range(12):
        street.send_all()
        if (kind, to) in street.under_way():
            break
        street.deliver()
    street.deliver_kind(kind, to, keep=True)
    repeat = street.bus.on_the_way.pop()
    before = rows_of(street)
    for _ in range(5):
        street.bus.on_the_way.append(repeat)
        street.deliver(-1)
    assert rows_of(street) == before
    street.settle()
    assert street.phase() == ("voided" if card == "tok_declined" else "completed")
    assert street.violations(settled=True) == []


def test_given_an_answer_was_lost_when_the_question_comes_again_then_the_same_answer_is_sent_again(
    street: Street,
) -> None:
    street.place()
    street.send_all()
    street.deliver_kind("OrderPlaced", "inventory", keep=True)
    street.send_all()
    street.bus.on_the_way = [
        (s, b) for s, b in street.bus.on_the_way if s.name == "inventory"
    ]  # what inventory said is lost
    street.deliver()
    BY_NAME["inventory"].send(street.bus.send)
    assert street.under_way() == [("StockReserved", "orders")]
    assert inventory.all_stock()[0].reserved == 3


@pytest.mark.parametrize(
    "lost", ["OrderPlaced", "CardCharged", "OrderConfirmed", "OrderShipped", "ReceiptSent"]
)
def test_given_every_first_copy_of_an_event_is_lost_when_the_orders_service_asks_again_then_the_order_lands(
    street: Street, lost: str
) -> None:
    seen: set[str] = set()

    def copies(message: Message) -> int:
        first = message.id not in seen
        seen.add(message.id)
        return 0 if first and message.kind == lost else 1

    street.bus.copies = copies
    street.place()
    street.settle()
    assert street.phase() != "completed"
    for _ in range(3):
        orders.ask_again()
        street.settle()
    assert street.phase() == "completed"
    assert street.violations(settled=True) == []


# --- out of order ---------------------------------------------------------------------------------------------------
def test_given_the_undo_overtakes_the_action_when_the_action_comes_then_it_finds_a_tombstone(
    any_street: Street, bank: Bank
) -> None:
    any_street.place()
    any_street.send_all()
    late = list(any_street.bus.on_the_way)
    any_street.bus.on_the_way.clear()
    any_street.withdraw()
    any_street.settle()
    assert any_street.phase() == "voided"
    any_street.bus.on_the_way += late
    any_street.settle()
    assert any_street.heard("inventory") == {"OrderGivenUp": "handled", "OrderPlaced": "handled"}
    assert any_street.said("inventory") == ["StockReleased"]
    assert any_street.said("payments") == ["CardRefunded"]
    assert bank_book.book()["movements"] == []
    assert inventory.read_all()[1] == []
    assert any_street.violations(settled=True) == []


def test_given_the_second_answer_comes_first_when_both_are_here_then_it_is_confirmed_once(
    street: Street,
) -> None:
    street.place()
    street.send_all()
    street.deliver(1)
    street.deliver(0)
    street.send_all()
    street.deliver_kind("CardCharged", "orders")
    assert street.phase() == "placed"
    street.deliver_kind("StockReserved", "orders")
    assert street.phase() == "confirmed"


def test_given_both_answers_at_the_same_moment_when_two_processes_handle_them_then_exactly_one_confirms(
    any_street: Street,
) -> None:
    for n in range(4):
        job = f"job-{n}"
        any_street.place(job)
        any_street.send_all()
        any_street.deliver(), any_street.deliver()
        any_street.send_all()
        both = [(s, Message.from_bytes(b)) for s, b in any_street.bus.on_the_way]
        any_street.bus.on_the_way.clear()

        def at_once(one: tuple[Service, Message]) -> None:
            claimed = one[0].arrive(one[1])
            assert claimed is not None
            one[0].handle(claimed)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(at_once, both))
        assert any_street.said("orders", job) == ["OrderPlaced", "OrderConfirmed"]
        any_street.settle()


def test_given_an_answer_after_the_order_was_given_up_when_it_comes_then_it_is_not_confirmed(
    street: Street,
) -> None:
    street.place()
    street.send_all()
    street.deliver(), street.deliver()
    street.withdraw()
    street.settle()
    assert street.phase() == "voided"
    assert street.violations(settled=True) == []


# --- the customer --------------------------------------------------------------------------------------------------
def test_given_no_order_yet_when_it_is_withdrawn_then_it_can_never_be_placed(
    any_street: Street,
) -> None:
    assert any_street.withdraw() is None
    with pytest.raises(ActionUndone):
        any_street.place()
    assert any_street.withdraw() is None
    assert any_street.said("orders") == []


def test_given_a_confirmed_order_when_it_is_withdrawn_then_it_stands(street: Street) -> None:
    street.place()
    street.settle()
    with pytest.raises(Rejected, match="it stands"):
        street.withdraw()
    assert street.phase() == "completed"


def test_given_the_customer_has_the_last_word_when_both_have_answered_then_the_order_waits_for_it(
    street: Street,
) -> None:
    street.place(asks_customer=True)
    with pytest.raises(Rejected, match="not answered"):
        street.confirm()
    street.settle()
    found = orders.standing("job-1")
    assert found is not None
    assert (found.phase, found.answered) == ("placed", True)
    assert street.confirm() == street.confirm() == 1
    street.settle()
    assert street.phase() == "completed"
    assert street.said("orders") == ["OrderPlaced", "OrderConfirmed", "OrderCompleted"]
    assert street.violations(settled=True) == []


def test_given_an_answered_order_when_it_is_withdrawn_before_the_last_word_then_that_word_is_refused(
    street: Street,
) -> None:
    street.place(asks_customer=True)
    street.settle()
    street.withdraw()
    with pytest.raises(Rejected, match="cancelled"):
        street.confirm()
    street.settle()
    assert street.phase() == "voided"
    assert street.violations(settled=True) == []


def test_given_an_order_when_it_is_placed_twice_then_it_is_one(street: Street) -> None:
    street.place()
    street.place()
    assert street.said("orders") == ["OrderPlaced"]
    with pytest.raises(Rejected):
        street.place("job-2", order_ref="A-1"), street.place("job-3", order_ref="A-1")
    assert street.phase("job-3") is None


def test_given_no_answer_in_time_when_the_clock_says_so_then_the_order_is_undone(
    any_street: Street, monkeypatch: pytest.MonkeyPatch, bank: Bank
) -> None:
    monkeypatch.setenv("SUREFOOT_EVENTS_ANSWER_SECONDS", "0")
    any_street.place()
    any_street.send_all()
    any_street.deliver_kind("OrderPlaced", "inventory")  # payments never hears of it
    any_street.bus.on_the_way.clear()
    assert orders.give_up_late() == 1
    any_street.settle()
    assert any_street.phase() == "voided"
    assert any_street.violations(settled=True) == []


# --- crashes, silence, letters -----------------------------------------------------------------------------------------
def test_given_a_process_that_dies_with_an_event_in_hand_when_it_is_due_then_another_one_takes_over(
    street: Street,
) -> None:
    street.place()
    street.send_all()
    street.deliver(0, handle=False)
    street.deliver(0, handle=False)
    street.settle()
    assert street.heard("payments") == {"OrderPlaced": "waiting"}
    assert street.work_due() == 2
    street.settle()
    assert street.phase() == "completed"


def test_given_an_attempt_that_was_overtaken_when_it_ends_late_then_it_changes_nothing(
    any_street: Street,
) -> None:
    any_street.place()
    any_street.send_all()
    inventory_service = BY_NAME["inventory"]
    frozen = inventory_service.arrive(
        Message.from_bytes(next(b for s, b in any_street.bus.on_the_way if s is inventory_service))
    )
    assert frozen is not None
    second = inventory_service.take_over()
    assert second is not None
    inventory_service.handle(
        frozen
    )  # the first one comes back: its fence is old, its effect is rolled back
    assert any_street.heard("inventory") == {"OrderPlaced": "waiting"}
    assert inventory.read_all()[1] == []
    inventory_service.handle(second)
    inventory_service.handle(frozen)
    assert any_street.said("inventory") == ["StockReserved"]
    assert inventory.all_stock()[0].reserved == 3


def test_given_the_bank_charged_and_its_answer_was_lost_when_it_is_tried_again_then_there_is_one_charge(
    street: Street, bank: Bank
) -> None:
    bank.after = silent
    street.place()
    street.settle()
    assert street.heard("payments") == {"OrderPlaced": "waiting"}
    bank.after = lambda key: None
    street.work_due()
    street.settle()
    assert street.phase() == "completed"
    assert len(bank_book.book()["movements"]) == 1


def test_given_the_bank_is_away_when_attempts_are_used_up_then_it_is_undone_and_a_letter_says_why(
    street: Street, bank: Bank
) -> None:
    bank.before = away
    street.place()
    street.settle()
    while street.phase() == "placed":
        street.work_due()
        street.settle()
    bank.before = lambda key: None
    while street.phase() != "voided":
        street.work_due()
        street.settle()
    assert [
        (letter.kind, letter.attempts, letter.needs_person) for letter in street.letters("payments")
    ] == [("OrderPlaced", 5, 0)]
    assert street.violations(settled=True) == []


def test_given_a_refund_out_of_attempts_when_a_person_sends_it_back_then_the_order_lands(
    any_street: Street, bank: Bank
) -> None:
    any_street.place(quantity=1000)
    any_street.place("job-2")  # refused by inventory, charged by the bank
    any_street.settle()
    any_street.place("job-3", sku="none-such")
    any_street.send_all()
    any_street.deliver(), any_street.deliver()
    bank.before = away
    for _ in range(25):
        any_street.settle()
        any_street.work_due()
    assert any_street.phase("job-3") == "given_up"
    (letter,) = [row for row in any_street.letters("payments") if row.resolution is None]
    assert (letter.kind, letter.attempts, letter.needs_person) == ("OrderGivenUp", 20, 1)
    standing = orders.standing("job-3")
    assert standing is not None
    assert "payments cannot go on with OrderGivenUp" in (standing.help or "")
    orders.ask_again()
    any_street.settle()
    assert any_street.work_due() == 0, "asking again gives no fresh attempts"

    bank.before = lambda key: None
    assert BY_NAME["payments"].redrive(letter.id, "ops", "the bank is back")
    assert not BY_NAME["payments"].redrive(letter.id, "ops", "once more")
    any_street.work_due()
    any_street.settle()
    assert any_street.phase("job-3") == "voided"
    assert any_street.violations(settled=True) == []


def test_given_an_event_that_kills_its_process_each_time_when_attempts_are_used_up_then_it_is_given_up(
    street: Street,
) -> None:
    street.place()
    street.send_all()
    payments = BY_NAME["payments"]
    for number, (service, _) in enumerate(street.bus.on_the_way):
        if service is payments:
            street.deliver(number, handle=False)
    for _ in range(4):
        assert payments.take_over() is not None  # and dies
    worn = payments.take_over()
    assert worn is not None
    payments.handle(worn)
    assert street.said("payments") == ["CardDeclined"]
    street.settle()
    assert street.phase() == "voided"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"id": 1}',
        b"[" * 100_000,
        b'{"id":"a","kind":"b","job":"c","at":"d","data":[]}',
        b"\xff\xfe",
    ],
)
def test_given_rubbish_when_it_is_read_then_it_is_no_event(body: bytes) -> None:
    with pytest.raises(NoEvent):
        Message.from_bytes(body)


def test_given_a_huge_or_ill_shaped_event_when_it_comes_then_a_letter_is_kept_and_the_order_is_refused(
    street: Street,
) -> None:
    with pytest.raises(NoEvent, match="65536"):
        Message.from_bytes(b'"' + b"x" * MAX_EVENT_BYTES + b'"')
    street.place()
    forged = Message(
        "job-1:OrderPlaced", "OrderPlaced", "job-1", None, "now", {"order_id": "seven"}
    )
    claimed = BY_NAME["inventory"].arrive(forged)
    assert claimed is not None
    BY_NAME["inventory"].handle(claimed)
    assert street.said("inventory") == ["StockRefused"]
    assert [letter.kind for letter in street.letters("inventory")] == ["OrderPlaced"]


@pytest.mark.parametrize(("card", "end"), [("tok_lost", "completed"), ("tok_declined", "voided")])
def test_given_an_order_when_it_goes_round_then_no_event_has_its_card_and_nobody_keeps_it_longer_than_needed(
    street: Street, card: str, end: str
) -> None:
    street.place(card=card)
    street.send_all()
    assert street.bus.on_the_way
    assert [body for _, body in street.bus.on_the_way if card.encode() in body] == []
    street.settle()
    assert street.phase() == end
    for service in SERVICES:
        with service.database.snapshot() as tx:
            for table in service.database.metadata.sorted_tables:
                assert card not in str(tx.execute(select(table)).all()), (service.name, table.name)


def test_given_an_event_of_an_older_release_when_it_carries_the_card_itself_then_that_is_charged(
    street: Street,
) -> None:
    o = request_of(card="tok_lost")
    orders.place(Context("job-1", "order_choreographed", "place_order"), o)
    street.settle()
    assert street.phase() == "completed"


# --- one timeline ------------------------------------------------------------------------------------------------------
def test_given_an_order_when_its_timeline_is_asked_for_then_causes_come_before_what_they_caused(
    street: Street,
) -> None:
    street.place()
    street.settle()
    street.place("job-2")
    found = read_timeline(SERVICES, "job-1")
    names = [(event.depth, event.kind, event.by) for event in found.events]
    assert names[0] == (0, "OrderPlaced", "orders")
    assert names[-1] == (max(depth for depth, _, _ in names), "OrderCompleted", "orders")
    assert all(copy.state == "handled" for event in found.events for copy in event.heard)
    places = {event.id: place for place, event in enumerate(found.events)}
    assert all(
        places[event.causation] < places[event.id] for event in found.events if event.causation
    )
    waiting = read_timeline(SERVICES, "job-2")
    assert [(event.kind, event.sends, event.unheard) for event in waiting.events] == [
        ("OrderPlaced", 0, ["inventory", "payments"])
    ]
    assert read_timeline(SERVICES, "no-such").events == []
