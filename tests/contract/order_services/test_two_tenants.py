"""Two tenants with the same words for their orders: neither changes, blocks or learns anything of
the other's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from surefoot import Rejected
from surefoot.app.access import keys
from surefoot.workers.sagas.order.models import ChangeRequest
from surefoot.workers.sagas.order.saga import change_order, order
from surefoot.workers.sagas.order.services import order as orders
from surefoot.workers.sagas.order.services.database import close_databases
from tests.contract.views.shop import Caller, Shop
from tests.support.world import Participant, World

ASKED = {
    "customer": "Ada",
    "email": "ada@example.org",
    "sku": "apple",
    "quantity": 1,
    "amount_cents": 500,
    "card": "tok_ok",
}
ASKED |= {"order_ref": "A-17"}
MORE = {"order_ref": "A-17", "more": 5, "amount_cents": 1, "card": "tok_ok"}


def quantities() -> dict[str, int]:
    return {row.job: row.quantity for row in orders.all_orders()}


@pytest.mark.usefixtures("services")
def test_given_one_name_of_two_tenants_when_ordered_and_changed_then_each_has_its_own(
    context: Any, request_of: Any
) -> None:
    ours = orders.create(context("create_order"), request_of(order_ref="A-17"))
    stranger = {"tenant": "acme"}
    with pytest.raises(Rejected, match=r"There is no order A-17\."):
        orders.open_change(context("open_change", job="job-2", **stranger), ChangeRequest(**MORE))
    theirs = orders.create(
        context("create_order", job="job-3", **stranger), request_of(order_ref="A-17")
    )
    with pytest.raises(Rejected, match="There is an order A-17 already"):
        orders.create(
            context("create_order", job="job-4", **stranger), request_of(order_ref="A-17")
        )
    opened = orders.open_change(
        context("open_change", job="job-5", **stranger), ChangeRequest(**MORE)
    )
    assert (ours.order_id, opened.order_id) == (ours.order_id, theirs.order_id)
    assert ours.order_id != theirs.order_id


@pytest.mark.usefixtures("services")
def test_given_tables_of_the_release_before_when_opened_then_they_grow_and_it_still_writes(
    context: Any, request_of: Any
) -> None:
    orders.create(context("create_order"), request_of(order_ref="A-17"))
    with orders.database.transaction() as tx:
        tx.execute(text("DROP INDEX one_order_of_a_tenants_name"))
        tx.execute(text("ALTER TABLE orders DROP COLUMN tenant"))
        bare = "CREATE UNIQUE INDEX one_order_of_a_name ON orders (order_ref)"
        tx.execute(text(f"{bare} WHERE state <> 'voided'"))
    close_databases()
    theirs = orders.create(
        context("create_order", job="job-2", tenant="acme"), request_of(order_ref="A-17")
    )
    assert theirs.order_id
    with orders.database.transaction() as tx:
        assert tx.execute(text("SELECT tenant FROM orders ORDER BY id")).scalars().all() == [
            "default",
            "acme",
        ]
        names = {index["name"] for index in inspect(tx).get_indexes("orders")}
        columns = "order_ref, job, customer, email, sku, quantity, amount_cents, state"
        values = "'B', 'job-3', 'c', 'e', 'apple', 1, 1, 'pending'"
        tx.execute(text(f"INSERT INTO orders ({columns}) VALUES ({values})"))
    assert "one_order_of_a_tenants_name" in names
    assert "one_order_of_a_name" not in names


class RealShop(Shop):
    """The shipped orders on the real engine, asked for over HTTP."""

    def __init__(self, url: str) -> None:
        World.__init__(self, url, [order, change_order], Participant())
        self.url, self.apps = url, []


@pytest.fixture
def shop(home: Path) -> Iterator[RealShop]:
    shop = RealShop(f"sqlite:///{home / 'engine.sqlite'}")
    yield shop
    assert shop.broken() == {}
    shop.close()


@pytest.mark.usefixtures("bank")
@pytest.mark.parametrize("services", ["sqlite"], indirect=True)
def test_given_an_order_when_another_tenant_uses_its_words_over_http_then_it_learns_nothing(
    shop: RealShop,
) -> None:
    app = shop.web()
    ours, theirs = (
        Caller(app, shop.key()),
        Caller(app, keys.create(shop.db, "acme", "user", "n")[1]),
    )

    def asked(caller: Caller, saga: str, value: dict[str, Any]) -> dict[str, Any]:
        """How the job ended that this asked for."""
        job_id = caller.post("/api/v1/jobs", {"saga": saga, "input": value}).get_json()["id"]
        shop.land(job_id)
        found: dict[str, Any] = caller.get(f"/api/v1/jobs/{job_id}").get_json()
        return found

    mine = asked(ours, "order", ASKED)
    changed = asked(theirs, "change_order", MORE)
    assert (changed["state"], changed["reason"]) == ("failed", "There is no order A-17.")
    same_words = asked(theirs, "order", ASKED)
    assert same_words["state"] == "completed"
    assert asked(theirs, "change_order", MORE)["state"] == "completed"
    assert quantities() == {mine["id"]: 1, same_words["id"]: 6}
