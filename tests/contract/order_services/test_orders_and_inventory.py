from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError

from surefoot import Rejected
from surefoot.app.participant import ActionUndone
from surefoot.workers.sagas.order.models import Charge, Reserved
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services import order as orders

pytestmark = pytest.mark.usefixtures("services")


def shelf(sku: str = "apple") -> tuple[int, int, int, int]:
    row = next(row for row in inventory.all_stock() if row.sku == sku)
    return row.initial, row.on_hand, row.reserved, row.sold


def test_given_order_when_created_five_times_then_one_row_and_one_answer(
    context: Any, request_of: Any
) -> None:
    answers = {
        orders.create(context("create_order", attempt=n), request_of(order_ref="A-1"))
        for n in range(1, 6)
    }
    assert len(answers) == 1
    assert [(row.order_ref, row.job, row.state) for row in orders.all_orders()] == [
        ("A-1", "job-1", "pending")
    ]


def test_given_no_order_ref_when_created_then_it_is_made_of_the_job(
    context: Any, request_of: Any
) -> None:
    assert orders.create(context("create_order"), request_of()).order_ref == "job:job-1"
    assert (
        orders.create(context("create_order", job="job-2"), request_of()).order_ref == "job:job-2"
    )


def test_given_order_ref_taken_when_another_job_wants_it_then_rejected_until_it_is_voided(
    context: Any, request_of: Any
) -> None:
    orders.create(context("create_order"), request_of(order_ref="A-1"))
    with pytest.raises(Rejected, match="A-1"):
        orders.create(context("create_order", job="job-2"), request_of(order_ref="A-1"))
    assert orders.void(context("create_order", "undo"))
    assert orders.create(context("create_order", job="job-2"), request_of(order_ref="A-1"))


def test_given_one_order_ref_when_eight_jobs_race_then_one_order(
    context: Any, request_of: Any, threads: ThreadPoolExecutor
) -> None:
    def create(n: int) -> bool:
        try:
            orders.create(context("create_order", job=f"job-{n}"), request_of(order_ref="A-1"))
            return True
        except Rejected:
            return False

    assert sum(threads.map(create, range(8))) == 1
    assert len(orders.all_orders()) == 1


def test_given_no_order_when_voided_then_nothing_and_a_late_creation_is_refused(
    context: Any, request_of: Any
) -> None:
    assert orders.void(context("create_order", "undo")) is None
    with pytest.raises(ActionUndone):
        orders.create(context("create_order"), request_of())
    assert orders.all_orders() == []


def test_given_voided_order_when_confirmed_then_rejected(context: Any, request_of: Any) -> None:
    reserved = Reserved(reservation="r", sku="apple", quantity=3)
    charge = Charge(key="k", charge_id="ch", amount_cents=1250)
    orders.create(context("create_order"), request_of())
    confirmed = orders.confirm(context("confirm_order"), reserved, charge)
    assert orders.confirm(context("confirm_order", attempt=2), reserved, charge) == confirmed
    orders.create(context("create_order", job="job-2"), request_of())
    first, again = (orders.void(context("create_order", "undo", job="job-2")) for _ in range(2))
    assert first == again
    with pytest.raises(Rejected):
        orders.confirm(context("confirm_order", job="job-2"), reserved, charge)
    assert [row.state for row in orders.all_orders()] == ["confirmed", "voided"]


def test_given_stock_when_reserved_repeatedly_then_taken_once_and_released_once(
    context: Any,
) -> None:
    answers = {inventory.reserve(context("reserve_stock"), 1, "apple", 3) for _ in range(3)}
    assert len(answers) == 1
    assert shelf() == (1000, 997, 3, 0)
    released = [inventory.release(context("reserve_stock", "undo")) for _ in range(3)]
    assert released[0] == released[1] == released[2]
    assert shelf() == (1000, 1000, 0, 0)
    with pytest.raises(ActionUndone):
        inventory.reserve(context("reserve_stock"), 1, "apple", 3)
    assert shelf() == (1000, 1000, 0, 0)


def test_given_nothing_reserved_when_released_then_empty_and_late_reservation_refused(
    context: Any,
) -> None:
    assert inventory.release(context("reserve_stock", "undo")) is None
    with pytest.raises(ActionUndone):
        inventory.reserve(context("reserve_stock"), 1, "apple", 3)
    assert shelf() == (1000, 1000, 0, 0)


@pytest.mark.parametrize(
    ("sku", "quantity", "why"), [("apple", 1001, "1000 of apple"), ("mango", 1, "No mango")]
)
def test_given_too_little_or_unknown_when_reserved_then_rejected_and_nothing_stays(
    context: Any, sku: str, quantity: int, why: str
) -> None:
    with pytest.raises(Rejected, match=why):
        inventory.reserve(context("reserve_stock"), 1, sku, quantity)
    assert shelf() == (1000, 1000, 0, 0)
    assert inventory.read_all()[1] == []


def test_given_reservation_when_shipped_repeatedly_then_sold_once(context: Any) -> None:
    reserved = inventory.reserve(context("reserve_stock"), 1, "apple", 3)
    for _ in range(3):
        assert inventory.ship(context("ship_order"), reserved.reservation).quantity == 3
    assert shelf() == (1000, 997, 0, 3)
    with pytest.raises(Rejected):
        inventory.ship(context("ship_order", job="job-2"), reserved.reservation)


def test_given_five_on_hand_when_twenty_jobs_race_then_five_get_one(
    context: Any, threads: ThreadPoolExecutor
) -> None:
    inventory.set_initial("fig", 5)

    def reserve(n: int) -> bool:
        try:
            inventory.reserve(context("reserve_stock", job=f"job-{n}"), n, "fig", 1)
            return True
        except Rejected:
            return False

    assert sum(threads.map(reserve, range(20))) == 5
    assert shelf("fig") == (5, 0, 5, 0)


def test_given_action_and_undo_of_one_job_when_they_race_then_the_shelf_is_whole(
    context: Any, threads: ThreadPoolExecutor
) -> None:
    def act(n: int) -> None:
        try:
            inventory.reserve(context("reserve_stock", job=f"job-{n}"), n, "apple", 1)
        except ActionUndone:
            pass

    def undo(n: int) -> None:
        inventory.release(context("reserve_stock", "undo", job=f"job-{n}"))

    for future in [threads.submit(work, n) for n in range(15) for work in (act, undo, act)]:
        future.result(30)
    assert shelf() == (1000, 1000, 0, 0)


def test_given_stock_taken_when_initial_is_set_then_on_hand_follows_but_never_below_what_is_taken(
    context: Any,
) -> None:
    inventory.reserve(context("reserve_stock"), 1, "apple", 3)
    inventory.set_initial("apple", 10)
    assert shelf() == (10, 7, 3, 0)
    with pytest.raises(inventory.StockTooLow, match="3 are reserved"):
        inventory.set_initial("apple", 2)
    assert shelf() == (10, 7, 3, 0)


def test_given_full_shelf_when_seeded_again_then_nothing_changes() -> None:
    inventory.set_initial("apple", 10)
    assert not inventory.seed_if_empty()
    assert {row.sku: row.initial for row in inventory.all_stock()} == {
        "apple": 10,
        "pear": 1000,
        "plum": 1000,
    }


def test_given_counters_that_lose_goods_when_written_then_the_database_refuses() -> None:
    with pytest.raises(IntegrityError), inventory.database.transaction() as tx:
        tx.execute(inventory.stock.update().values(on_hand=inventory.stock.c.on_hand - 1))


def test_given_two_services_when_asked_for_their_tables_then_each_has_only_its_own() -> None:
    of_orders, of_inventory = (
        set(inspect(db.engine()).get_table_names()) for db in (orders.database, inventory.database)
    )
    assert {"orders", "changes", "surefoot_barrier"} <= of_orders
    assert {"stock", "reservations", "wishes", "surefoot_barrier"} <= of_inventory
    assert not of_orders & {"stock", "reservations", "wishes"}
    assert not of_inventory & {"orders", "changes"}
