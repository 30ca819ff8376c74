"""The saga's own functions, called as the engine calls them, and the books compared after each tale."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from surefoot import Context, Rejected
from surefoot.app.saga.calls import invoke
from surefoot.app.saga.inputs import validate_input
from surefoot.workers.sagas.order import command_line, ledger
from surefoot.workers.sagas.order.ledger import draw_up, read_books
from surefoot.workers.sagas.order.saga import order
from surefoot.workers.sagas.order.services import bank_client, inventory, mail, payment
from surefoot.workers.sagas.order.services import order as orders

INPUT = {
    "customer": "Ada",
    "email": "ada@example.org",
    "sku": "apple",
    "quantity": 3,
    "amount_cents": 1250,
    "card": "tok_ok",
}
UNTIL_PIVOT = ("create_order", "reserve_stock", "charge_card")
ALL = (*UNTIL_PIVOT, "confirm_order", "ship_order", "send_receipt")

ON_SQLITE = pytest.mark.parametrize(
    "services", ["sqlite"], indirect=True
)  # where the database is not the question
Forward = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _with_bank(bank: str) -> None:
    return None


@pytest.fixture
def forward() -> Forward:
    """Run steps of a job in order, each twice; their results by name."""

    def run(steps: tuple[str, ...] = ALL, job: str = "job-1", **fields: Any) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for step in steps:
            for attempt in (1, 2):
                ctx = Context(job_id=job, saga="order", step=step, attempt=attempt)
                results[step] = invoke(
                    order, step, "action", ctx, {**INPUT, **fields}, results, None
                )
        return results

    return run


def back(results: dict[str, Any], job: str = "job-1") -> None:
    """Undo in reverse order, each twice."""
    for step in reversed(UNTIL_PIVOT):
        for attempt in (1, 2):
            ctx = Context(job_id=job, saga="order", step=step, kind="undo", attempt=attempt)
            invoke(order, step, "undo", ctx, INPUT, results, results.get(step))


def test_given_whole_order_when_compared_then_shipped_and_consistent(forward: Forward) -> None:
    forward()
    drawn = draw_up(read_books(), settled=True)
    assert drawn.to_json() == {
        "orders": [
            {
                "job": "job-1",
                "order_id": 1,
                "state": "shipped",
                "charged_cents": 1250,
                "refunded_cents": 0,
                "charges": 1,
                "refunds": 0,
                "reserved": 0,
                "shipped": 3,
                "receipts": 1,
            }
        ],
        "stock": {
            "apple": {"initial": 1000, "on_hand": 997, "reserved": 0, "sold": 3},
            "pear": {"initial": 1000, "on_hand": 1000, "reserved": 0, "sold": 0},
            "plum": {"initial": 1000, "on_hand": 1000, "reserved": 0, "sold": 0},
        },
        "violations": [],
        "consistent": True,
    }


def test_given_undone_order_when_compared_then_voided_and_nothing_left(forward: Forward) -> None:
    back(forward(UNTIL_PIVOT))
    drawn = draw_up(read_books(), settled=True)
    line = drawn.orders[0]
    assert (line.state, line.charged_cents, line.refunded_cents, line.reserved, line.receipts) == (
        "voided",
        1250,
        1250,
        0,
        0,
    )
    assert drawn.violations == []


def test_given_declined_card_when_undone_then_nothing_was_charged(forward: Forward) -> None:
    results = forward(("create_order", "reserve_stock"))
    with pytest.raises(Rejected):
        invoke(
            order,
            "charge_card",
            "action",
            Context("job-1", "order", "charge_card"),
            {**INPUT, "card": "tok_declined"},
            results,
            None,
        )
    back(results)
    drawn = draw_up(read_books(), settled=True)
    assert (drawn.orders[0].charges, drawn.orders[0].refunds) == (0, 0)
    assert drawn.consistent


@pytest.mark.parametrize("steps", [ALL[:n] for n in range(1, len(ALL))])
def test_given_order_under_way_when_compared_then_consistent_unless_all_should_be_settled(
    forward: Forward, steps: tuple[str, ...]
) -> None:
    forward(steps)
    books = read_books()
    assert draw_up(books).violations == []
    assert len(draw_up(books, settled=True).violations) == 1


def _refund_a_shipped_order() -> None:
    bank_client.void(Context("job-1", "order", "charge_card", kind="undo"))


def _void_a_shipped_order() -> None:
    with orders.database.transaction() as tx:
        tx.execute(orders.orders.update().values(state="voided"))


def _charge_twice() -> None:
    bank_client.charge(Context("job-1", "order", "charge_card", item="again"), 1250, "tok_ok")


def _charge_too_much() -> None:
    bank_client.charge(Context("job-1", "order", "charge_card", item="tip"), 100, "tok_ok")


def _charge_without_order() -> None:
    bank_client.charge(Context("job-9", "order", "charge_card"), 1250, "tok_ok")


def _reserve_without_order() -> None:
    inventory.reserve(Context("job-9", "order", "reserve_stock"), 9, "apple", 1)


def _lose_a_reservation() -> None:
    with inventory.database.transaction() as tx:
        tx.execute(inventory.reservations.delete())


def _second_mail() -> None:
    mail.send_receipt(
        Context("job-1", "order", "send_receipt", item="again"), order.input_model(**INPUT)
    )


def _forget_the_payment() -> None:
    with payment.database.transaction() as tx:
        tx.execute(payment.charges.delete())


@ON_SQLITE
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_refund_a_shipped_order, "its money is not here: 1 charges, 1 refunds"),
        (_void_a_shipped_order, "is voided, but 1250 cents are still charged"),
        (_charge_twice, "was charged 2 times"),
        (_charge_too_much, "costs 1250 cents, but 1350 were charged"),
        (_charge_without_order, "Job job-9 has no order, but 1250 cents were charged"),
        (_reserve_without_order, "Job job-9 has no order, but goods are reserved"),
        (_lose_a_reservation, "3 are marked as sold, but reservations of 0 were shipped"),
        (_second_mail, "got 2 receipts"),
        (_forget_the_payment, "the payment service says: no charge"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_given_damaged_books_when_compared_then_a_sentence_says_so(
    forward: Forward, damage: Callable[[], None], sentence: str
) -> None:
    forward()
    damage()
    violations = draw_up(read_books()).violations
    assert any(sentence in violation for violation in violations), violations


def test_given_orders_moving_while_books_are_read_when_compared_then_no_false_alarm(
    forward: Forward,
) -> None:
    before = read_books()
    results = forward(UNTIL_PIVOT)
    half_way = read_books()
    back(results)
    undone = read_books()
    forward(job="job-2")
    shipped = read_books()
    mixed = [
        replace(before, orders_last=undone.orders_last),  # made and voided between the readings
        replace(
            before,
            bank=half_way.bank,
            reservations=half_way.reservations,
            shelf=half_way.shelf,
            orders_last=undone.orders_last,
        ),
        replace(half_way, orders_last=undone.orders_last),  # voided just afterwards
        replace(
            shipped, orders_first=half_way.orders_first
        ),  # all of it happened after the first reading
    ]
    for books in mixed:
        assert draw_up(books).violations == []


def test_given_world_when_invariants_are_asked_then_money_and_ends_are_judged(
    forward: Forward,
) -> None:
    back(forward(UNTIL_PIVOT))
    keys = [f"job-1:{step}::action" for step in ("create_order", "reserve_stock", "charge_card")]
    services = {name: list(reader(keys)) for name, reader in order.effect_readers.items()}
    assert {seen.state for found in services.values() for seen in found} == {"undone"}

    def faults(state: str) -> list[str]:
        world = SimpleNamespace(
            job=SimpleNamespace(state=state, input=INPUT), service=services.__getitem__, own=None
        )
        return [sentence for invariant in order.invariants for sentence in invariant(world)]

    assert faults("cancelled") == []
    assert faults("running") == []
    assert len(faults("completed")) == 4  # three that do not stand, and mail knows nothing of it


# --- the commands ------------------------------------------------------------------------------------------------
def run(*words: str) -> Result:
    command = getattr(command_line, words[0])
    return CliRunner().invoke(command, words[1:])


def test_given_books_when_printed_then_json_and_table_and_exit_code(forward: Forward) -> None:
    forward()
    told = run("ledger", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["consistent"] is True
    assert "The books agree" in run("ledger").stdout
    _charge_without_order()
    broken = run("ledger")
    assert broken.exit_code == 1
    assert "job-9 has no order" in " ".join(broken.stdout.split())
    assert json.loads(run("ledger", "--json").stdout)["consistent"] is False


def test_given_open_order_when_settled_is_asked_then_the_exit_code_says_so(
    forward: Forward,
) -> None:
    forward(UNTIL_PIVOT)
    assert run("ledger").exit_code == 0
    assert run("ledger", "--settled").exit_code == 1


@ON_SQLITE
def test_given_no_bank_when_compared_then_exit_75_and_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_BANK_URL", "http://127.0.0.1:1")
    told = run("ledger", "--json")
    assert (told.exit_code, told.stdout) == (75, "")
    assert "bank" in told.stderr


@ON_SQLITE
def test_given_stock_commands_when_run_then_shown_set_and_refused(forward: Forward) -> None:
    forward()
    assert json.loads(run("stock", "apple", "10", "--json").stdout) == {
        "apple": {"initial": 10, "on_hand": 7, "reserved": 0, "sold": 3}
    }
    refused = run("stock", "apple", "2")
    assert refused.exit_code == 1
    assert "3 sold" in refused.stderr
    assert "apple" in run("stock").stdout
    assert json.loads(run("stock", "--seed", "--json").stdout)["apple"]["initial"] == 10
    assert "nothing changed" in run("stock", "--seed").stdout
    for words in (
        ("apple",),
        ("apple", "-1"),
        ("ap ple", "1"),
        ("apple", "x"),
        ("apple", "1", "--seed"),
    ):
        assert run("stock", *words).exit_code == 2, words


@ON_SQLITE
def test_given_example_when_validated_then_it_fits_with_and_without_the_code() -> None:
    example = json.loads(order.examples[0].model_dump_json())
    for model in (order.input_model, None):
        assert validate_input(order.input_schema, model, example) == example


@ON_SQLITE
def test_given_empty_home_when_drawn_up_then_consistent_and_empty(home: Path) -> None:
    drawn = ledger.draw_up(ledger.read_books())
    assert (drawn.orders, drawn.consistent) == ([], True)
