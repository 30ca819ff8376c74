"""What one order sees of another half done: the anomalies when nothing is done about it, and that they are gone when it is.

The real engine and the real services, in one process; messages are delivered one by one, in every order that matters.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.saga.definition import Saga
from surefoot.workers.sagas.order.ledger import draw_up, read_books
from surefoot.workers.sagas.order.saga import change_order, order
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services import order as orders
from tests.support.world import Participant, World

ASKED = {
    "customer": "Ada",
    "email": "ada@example.org",
    "sku": "fig",
    "quantity": 1,
    "amount_cents": 500,
    "card": "tok_ok",
}
MORE = {"order_ref": "A-17", "more": 1, "amount_cents": 250, "card": "tok_ok"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("bank"),
    pytest.mark.parametrize("services", ["sqlite"], indirect=True),
]


def without_locks(saga: Saga[Any]) -> Saga[Any]:
    """The same saga, as it would be if nobody had thought of it."""
    bare = copy.copy(saga)
    bare.__dict__.pop("digest", None)
    bare.__dict__["graph"] = replace(saga.graph, locks=None)
    return bare


Opens = Callable[..., World]


@pytest.fixture
def world_of(home: Path) -> Iterator[Opens]:
    opened: list[World] = []

    def open_(*sagas: Saga[Any]) -> World:
        opened.append(
            World(f"sqlite:///{home / f'engine{len(opened)}.sqlite'}", sagas, Participant())
        )
        return opened[-1]

    yield open_
    for world in opened:
        assert world.broken() == {}
        world.db.dispose()


def ask(world: World, saga: str, **fields: Any) -> str:
    world.saga = saga
    return world.submit(input={**(ASKED if saga == "order" else MORE), **fields})


def step(world: World, job_id: str) -> bool:
    """Deliver one message of this job. False: there is none just now."""
    rung = next((r for r in world.broker.waiting if r.message.job_id == job_id), None)
    if rung is None:
        return False
    world.broker.waiting.remove(rung)
    world.deliver(rung)
    return True


def land(world: World, *jobs: str) -> list[str]:
    return [world.land(job, pass_s=1.5) for job in jobs]


# --- the last one on the shelf -------------------------------------------------------------------------------------
def last_fig(world: World) -> tuple[str, str]:
    """One fig. The first order reserves it, the second asks for it, the first is cancelled: how the second ends."""
    inventory.set_initial("fig", 1)
    one, two = ask(world, "order"), ask(world, "order")
    step(world, one)
    step(world, two)
    world.deliver(world.next("order.reserve_stock"))
    assert world.operation(one, "reserve_stock").state == "completed"
    world.deliver(world.next("order.reserve_stock"))
    world.cancel(one)
    assert land(world, one) == ["cancelled"]
    (state,) = land(world, two)
    return state, world.job(two).reason


def test_given_no_pending_mark_when_the_first_gives_the_last_one_back_then_the_second_was_refused_for_nothing(
    world_of: Opens,
) -> None:
    assert last_fig(world_of(order, change_order)) == (
        "failed",
        "There are 0 of fig on hand, 1 are wanted.",
    )
    assert [(row.on_hand, row.sold) for row in inventory.all_stock() if row.sku == "fig"] == [
        (1, 0)
    ]


def test_given_the_pending_mark_when_the_first_gives_the_last_one_back_then_the_second_gets_it(
    world_of: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_RESERVE_WAIT_SECONDS", "30")
    assert last_fig(world_of(order, change_order))[0] == "completed"
    assert [(row.on_hand, row.sold) for row in inventory.all_stock() if row.sku == "fig"] == [
        (0, 1)
    ]
    assert draw_up(read_books(), settled=True).violations == []


def test_given_the_last_one_kept_when_the_patience_is_over_then_refused(
    world_of: Opens, monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    monkeypatch.setenv("SUREFOOT_RESERVE_WAIT_SECONDS", "30")
    inventory.set_initial("fig", 1)
    inventory.reserve(context("reserve_stock", job="keeper"), 1, "fig", 1)
    world = world_of(order, change_order)
    job = ask(world, "order")
    world.drain()
    row = world.operation(job, "reserve_stock")
    assert (row.state, row.wait_reason) == ("waiting", "not_yet")
    with inventory.database.transaction() as tx:
        tx.exec_driver_sql("UPDATE wishes SET since = datetime(since, '-31 seconds')")
    assert land(world, job) == ["failed"]
    assert ask(
        world, "order", quantity=2
    )  # more than there ever were: nothing that could come back would do
    world.drain()
    with inventory.database.snapshot() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM wishes").scalar() == 0


# --- a cancel that races a change ----------------------------------------------------------------------------------
def cancelled_in_between(world: World, before: int) -> list[str]:
    """An order, and a change of it that begins after its first step; the order is cancelled `before` further steps of the change."""
    inventory.set_initial("fig", 10)
    first = ask(world, "order", order_ref="A-17")
    step(world, first)
    second = ask(world, "change_order")
    for _ in range(before):
        step(world, second)
    world.cancel(first)
    land(world, first, second)
    return draw_up(read_books(), settled=True).violations


@pytest.mark.parametrize("steps", [4, 5])
def test_given_no_lock_when_an_order_is_cancelled_in_mid_change_then_the_change_is_paid_for_an_order_that_is_void(
    world_of: Opens, steps: int
) -> None:
    violations = cancelled_in_between(
        world_of(without_locks(order), without_locks(change_order)), steps
    )
    assert any(
        "is voided, but 250 cents are still charged" in sentence for sentence in violations
    ), violations


@pytest.mark.parametrize("steps", [0, 3, 5])
def test_given_the_lock_when_an_order_is_cancelled_in_mid_change_then_the_change_finds_no_order_and_costs_nothing(
    world_of: Opens, steps: int
) -> None:
    assert cancelled_in_between(world_of(order, change_order), steps) == []
    assert [row.state for row in orders.all_orders()] == ["voided"]


def two_changes(world: World) -> list[str]:
    inventory.set_initial("fig", 10)
    first = ask(world, "order", order_ref="A-17")
    assert land(world, first) == ["completed"]
    changes = [ask(world, "change_order") for _ in range(2)]
    for job in changes:
        step(world, job)
    assert land(world, *changes) == ["completed", "completed"]
    return draw_up(read_books(), settled=True).violations


def test_given_no_lock_when_two_changes_begin_together_then_one_is_written_over(
    world_of: Opens,
) -> None:
    violations = two_changes(world_of(without_locks(order), without_locks(change_order)))
    assert orders.all_orders()[0].quantity == 2
    assert any("is of 2, but 3 were shipped" in sentence for sentence in violations), violations


def test_given_the_lock_when_two_changes_begin_together_then_both_count(world_of: Opens) -> None:
    assert two_changes(world_of(order, change_order)) == []
    assert (orders.all_orders()[0].quantity, orders.all_orders()[0].amount_cents) == (3, 1000)


def test_given_no_order_of_this_name_when_changed_then_refused_with_nothing_done(
    world_of: Opens,
) -> None:
    world = world_of(order, change_order)
    job = ask(world, "change_order")
    assert land(world, job) == ["failed"]
    assert world.job(job).reason == "There is no order A-17."
    assert draw_up(read_books(), settled=True).violations == []


@pytest.mark.parametrize("steps", [1, 4, 5])
def test_given_a_change_under_way_when_the_books_are_read_then_no_false_alarm_unless_all_should_be_settled(
    world_of: Opens, steps: int
) -> None:
    world = world_of(order, change_order)
    inventory.set_initial("fig", 10)
    land(world, ask(world, "order", order_ref="A-17"))
    job = ask(world, "change_order")
    for _ in range(steps):
        step(world, job)
    books = read_books()
    assert draw_up(books).violations == []
    assert len(draw_up(books, settled=True).violations) == (
        0 if world.state(job) == "completed" else 1
    )
    land(world, job)


# --- every interleaving of two sagas on one record -----------------------------------------------------------------
class About(BaseModel):
    record: str


def on_one_record(
    name: str, steps: tuple[Callable[[dict[str, Any]], None], ...]
) -> Callable[..., Saga[Any]]:
    """A saga of three steps that read, do and write; what it read is its own."""

    def make(records: dict[str, dict[str, Any]], *, locked: bool) -> Saga[Any]:
        saga = Saga(name, version=1, input=About, locks=(lambda o: [o.record]) if locked else None)
        own: dict[str, dict[str, Any]] = {}
        for number, do in enumerate(steps):

            def run(ctx: Any, o: About, do: Any = do, number: int = number) -> None:
                mine = own.setdefault(ctx.job_id, {})
                mine["record"] = records[o.record]
                do(mine)

            run.__name__ = f"step_{number}"
            saga.step(lane=f"lane_{number}", undo=None)(_two_arguments(run))
        return saga

    return make


def _two_arguments(run: Any) -> Any:
    def step_(ctx: Any, o: Any) -> None:
        run(ctx, o)

    step_.__name__ = run.__name__
    return step_


def _read(mine: dict[str, Any]) -> None:
    mine["paid"], mine["open"] = mine["record"]["paid"], mine["record"]["open"]


def _pay(mine: dict[str, Any]) -> None:
    if mine["open"]:
        mine["record"]["bank"] += 1


def _write_paid(mine: dict[str, Any]) -> None:
    if mine["open"]:
        mine["record"]["paid"] = mine["paid"] + 1


def _pay_back(mine: dict[str, Any]) -> None:
    mine["record"]["bank"] -= mine["paid"]


def _write_void(mine: dict[str, Any]) -> None:
    mine["record"]["paid"], mine["record"]["open"] = 0, False


update_it = on_one_record("update_it", (_read, _pay, _write_paid))
cancel_it = on_one_record("cancel_it", (_read, _pay_back, _write_void))
SCHEDULES = sorted({"".join(order_) for order_ in permutations("uuuccc")})


def play(world: World, records: dict[str, dict[str, Any]]) -> list[str]:
    """Every interleaving, each on a record of its own. Returns those after which the record and the bank disagree."""
    wrong = []
    for schedule in SCHEDULES:
        records[schedule] = {"paid": 1, "open": True, "bank": 1}
        jobs = {}
        for letter, saga in (("u", "update_it"), ("c", "cancel_it")):
            world.saga = saga
            jobs[letter] = world.submit(input={"record": schedule})
        for letter in schedule:
            step(world, jobs[letter])  # none: it waits for the lock
        world.drain()
        assert [world.state(job) for job in jobs.values()] == ["completed", "completed"]
        record = records[schedule]
        if record["bank"] != record["paid"] or record["open"]:
            wrong.append(schedule)
    return wrong


@pytest.mark.parametrize("locked", [True, False], ids=["with-lock", "without"])
def test_given_an_update_and_a_cancel_when_interleaved_in_every_way_then_only_the_lock_loses_nothing(
    world_of: Opens, locked: bool
) -> None:
    records: dict[str, dict[str, Any]] = {}
    assert len(SCHEDULES) == 20
    wrong = play(
        world_of(update_it(records, locked=locked), cancel_it(records, locked=locked)), records
    )
    if locked:
        assert wrong == []
    else:
        assert {"uuuccc", "cccuuu"}.isdisjoint(wrong)  # one after the other
        assert len(wrong) == 18
