"""The real services of an order, asked by reconciliation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from surefoot import Context
from surefoot.app.engine.reconcile import run
from surefoot.app.participant import EffectReport
from surefoot.app.store.ids import new_id
from surefoot.workers.sagas.order.saga import order
from surefoot.workers.sagas.order.services import bank_book, bank_client
from tests.support.world import Participant, World

INPUT = {
    "customer": "Ada",
    "email": "ada@example.org",
    "sku": "apple",
    "quantity": 2,
    "amount_cents": 1250,
    "card": "tok_ok",
}


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    assert order.world is not None
    with order.world():
        world = World(sqlite_url, [order], Participant())
        yield world
        world.db.dispose()


def look(world: World) -> list[tuple[str, str, str]]:
    done = run.whole_window(world.db, world.settings, world.registry, "test")
    return [(one["finding"], one["service"], one["key"]) for one in done.found]


def test_given_orders_when_the_bank_loses_a_row_or_has_a_charge_too_many_then_found_and_what_agrees_is_not(
    world: World,
) -> None:
    bought, refused = (
        world.submit(input=INPUT),
        world.submit(input=INPUT | {"card": "tok_declined"}),
    )
    assert (world.land(bought), world.land(refused)) == ("completed", "failed")
    assert look(world) == []

    charge, stray = (
        f"{bought}:charge_card::action",
        Context(job_id=new_id(), saga="order", step="charge_card"),
    )
    bank_client.charge(stray, 700, "tok_ok")
    with bank_book.database.transaction() as tx:
        tx.execute(delete(bank_book.movements).where(bank_book.movements.c.key == charge))
        tx.execute(delete(bank_book.charges).where(bank_book.charges.c.key == charge))
    assert sorted(look(world)) == [
        ("missing_there", "payments", charge),
        ("orphan", "payments", stray.key),
    ]


def test_given_the_bank_away_then_it_cannot_be_asked_and_the_other_services_agree(
    world: World,
) -> None:
    job = world.submit(input=INPUT)
    assert world.land(job) == "completed"

    def away(keys: object) -> list[EffectReport]:
        raise ConnectionError("the bank is away")

    kept = order.effect_readers["payments"]
    order.effect_readers["payments"] = away
    try:
        assert look(world) == [("unaskable", "payments", "order:payments")]
    finally:
        order.effect_readers["payments"] = kept
