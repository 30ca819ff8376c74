"""The next release migrates the store while this one runs: its migrations only add, so this one goes on, and starts again if it must."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, func, inspect, select, text

from surefoot.app.store.migrate import reshape
from surefoot.app.store.tables import EFFECTS_VIEW, jobs, metadata
from surefoot.app.store.worker_register import live_workers
from tests.support.faulty import FaultyShop, faulty_shop
from tests.support.files import text_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
NEXT = "9999"
SLOW = {
    "SUREFOOT_BANK_SLOW_SECONDS": "6",
    "SUREFOOT_BANK_TIMEOUT_SECONDS": "20",
}  # the migration may have to try more than once


@pytest.fixture
def shop(tmp_path: Path, store_url: str, redis_executable: str) -> Iterator[FaultyShop]:
    with faulty_shop(tmp_path / "home", "", database_url=store_url, **SLOW) as shop:
        yield shop


def migrate_further(shop: FaultyShop) -> int:
    """What a migration may do, in one transaction: a column for every table, an index, a table, another view. Returns the open jobs."""

    def change(tx: Connection) -> int:
        tx.execute(text("DROP VIEW surefoot_effects"))
        for table in metadata.sorted_tables:
            tx.execute(text(f"ALTER TABLE {table.name} ADD COLUMN next_release TEXT DEFAULT 'new'"))
        tx.execute(
            text(
                "CREATE INDEX ix_operations_next_release ON surefoot_operations (next_release, job_id)"
            )
        )
        tx.execute(text("CREATE TABLE next_release (id INTEGER PRIMARY KEY)"))
        tx.execute(text(EFFECTS_VIEW))
        tx.execute(text(f"UPDATE alembic_version SET version_num = '{NEXT}'"))
        return int(
            tx.execute(
                select(func.count())
                .select_from(jobs)
                .where(jobs.c.state.in_(("running", "compensating")))
            ).scalar_one()
        )

    return reshape(shop.db, change)


def test_given_orders_under_way_when_the_store_is_migrated_then_all_land_and_what_is_killed_starts_again(
    shop: FaultyShop,
) -> None:
    cards = ("tok_ok", "tok_slow", "tok_declined")
    before = shop.orders(15, cards)
    wait_until(
        lambda: any(row.state == "running" for row in shop.operations()),
        30,
        what="something under way",
    )
    assert migrate_further(shop), "all was over before the migration"
    assert shop.states().total() == 15
    after = shop.orders(6, cards)
    assert "next_release" in {
        column["name"] for column in inspect(shop.db).get_columns("surefoot_operations")
    }
    wait_until(lambda: answers(shop), 60, what="the web server to be ready")

    worker, web = shop.up.pid_of("worker-1"), shop.up.pid_of("web")
    for pid in (worker, web):
        os.killpg(pid, signal.SIGKILL)
    wait_until(
        lambda: (
            {row.pid for row in live_workers(shop.db)} - {worker, shop.up.pid_of("worker-2")}
            != set()
        ),
        60,
        what="a new worker-1",
    )
    wait_until(lambda: answers(shop), 60, what="the web server to be ready again")
    last = shop.order()

    assert shop.land(120) == {"completed": 15, "failed": 7}
    assert {shop.job(job)["id"] for job in (*before, *after, last)} == {*before, *after, last}
    shop.audit()
    for part in ("worker-1", "worker-2", "relay", "web"):
        said = text_of(shop.up.home / "log" / f"{part}.log")
        assert "Traceback" not in said, said[-3000:]


def answers(shop: FaultyShop) -> bool:
    try:
        return bool(shop.http.get("/../../readyz").status_code == 200)
    except httpx.TransportError:
        return False
