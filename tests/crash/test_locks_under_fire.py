"""Many changes of one order, one at a time, while workers and relay are killed and the broker forgets: none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select

from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import lock_waiters, locks
from tests.support.orders import Shop
from tests.support.running import Up
from tests.support.waiting import wait_until

QUICK = {
    "SUREFOOT_LEASE_SECONDS": "4",
    "SUREFOOT_HEARTBEAT_SECONDS": "0.5",
    "SUREFOOT_SWEEP_SECONDS": "0.3",
    "SUREFOOT_LOCK_RECHECK_SECONDS": "5",
}
# the order's first attempt stands still until it is killed, however long the others take to come
QUICK |= {"SUREFOOT_ENV": "test", "SUREFOOT_FAULTS": "order.charge_card:delay=55@before_effect"}
CHANGES = 8


@pytest.fixture
def shop(
    tmp_path: Path, store: str, request: pytest.FixtureRequest, redis_executable: str
) -> Iterator[Shop]:
    env = dict(QUICK)
    if store == "postgresql":
        env["DATABASE_URL"] = request.getfixturevalue("fresh_postgres")
    up = Up(tmp_path / "home", **env)
    try:
        shop = Shop(up.start())
        yield shop
        shop.close()
    finally:
        up.close()


def change(shop: Shop) -> str:
    body: dict[str, Any] = {
        "saga": "change_order",
        "input": {"order_ref": "A-17", "more": 1, "amount_cents": 100, "card": "tok_ok"},
    }
    answer = shop.http.post("/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def kill_workers(shop: Shop) -> None:
    for process in shop.workers():
        with suppress(psutil.NoSuchProcess):  # a child ends with its main process
            process.kill()


def rows(shop: Shop, table: Any) -> int:
    with reading(shop.db) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.mark.long
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
@pytest.mark.timeout(400)
def test_given_changes_in_line_when_workers_and_relay_are_killed_and_the_broker_is_flushed_then_each_is_made_once(
    shop: Shop,
) -> None:
    first = shop.order(order_ref="A-17")
    wait_until(lambda: rows(shop, locks) == 1, 60, what="the order to have its lock")
    jobs = [change(shop) for _ in range(CHANGES)]
    wait_until(lambda: rows(shop, lock_waiters) == CHANGES, 60, what="all changes to stand in line")
    why = shop.http.get(f"/jobs/{jobs[-1]}/why").json()
    assert [wait["kind"] for wait in why["waiting_for"]] == ["lock"]
    listed = shop.http.get("/locks").json()["items"]
    assert [(item["key"], item["held_by"]["id"], item["waiting"]) for item in listed] == [
        ("order:A-17", first, CHANGES)
    ]

    kill_workers(shop)
    psutil.Process(shop.up.pid_of("relay")).kill()
    shop.broker.flushall()
    wait_until(
        lambda: rows(shop, lock_waiters) <= CHANGES // 2,
        200,
        what="half of them to have had their turn",
    )
    kill_workers(shop)
    shop.broker.flushall()

    assert shop.land(200) == {"completed": CHANGES + 1}
    assert violations(shop.db, slack_s=10.0, bound_s=300.0) == {}
    books = shop.up.json(
        "ledger", "--settled"
    )  # holds the quantity against what was shipped, the price against what each was charged
    assert books["consistent"], books["violations"]
    (order,) = books["orders"]
    assert (order["shipped"], order["charged_cents"]) == (1 + CHANGES, 900 + 100 * CHANGES)
    assert (rows(shop, locks), rows(shop, lock_waiters)) == (0, 0)
