"""A page of a list costs the page: each filter has an index that has its jobs in the page's order, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from app.engine.submit import Submission, submit
from app.saga.outcomes import Rejected
from app.store.migrate import upgrade
from app.store.session import open_engine
from app.store.views import list_jobs
from tests.contract.views.shop import GOOD, Shop

NOBODY = "00000000-0000-7000-8000-000000000000"
FILTERS: dict[str, tuple[dict[str, str], str]] = {
    "none": ({}, "ix_jobs_tenant"),
    "failed": ({"state": "failed"}, "ix_jobs_state"),
    "attention": ({"state": "attention"}, "ix_jobs_state"),
    "running": ({"state": "running"}, "ix_jobs_state"),
    "waiting": ({"state": "waiting"}, "ix_jobs_state"),
    "completed": ({"state": "completed"}, "ix_jobs_tenant"),
    "saga": ({"saga": "shop"}, "ix_jobs_saga"),
    "tag": ({"tag": "web"}, "pk_job_tags|autoindex_job_tags"),
    "saga and state": ({"saga": "shop", "state": "failed"}, "ix_jobs_state"),
    "all three": ({"saga": "shop", "state": "failed", "tag": "web"}, "pk_job_tags|autoindex_job_tags"),
}


@pytest.fixture
def db(store_url: str) -> Iterator[Engine]:
    db = open_engine(store_url)
    upgrade(db)
    yield db
    db.dispose()


@pytest.mark.parametrize("name", FILTERS)
def test_given_a_filter_then_the_page_is_read_in_the_order_of_its_index(db: Engine, name: str) -> None:
    filters, index = FILTERS[name]
    sent: list[tuple[str, Any]] = []
    event.listen(db, "before_cursor_execute", lambda c, cur, sql, params, ctx, many: sent.append((sql, params)))
    list_jobs(db, NOBODY, **filters)
    sql, parameters = next((s, p) for s, p in reversed(sent) if "FROM jobs" in s and "LIMIT" in s)
    with db.connect() as connection:
        if db.dialect.name == "postgresql":
            for path in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):  # on empty tables all of them cost the same
                connection.execute(text(f"SET enable_{path} = off"))
        explain = "EXPLAIN " if db.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + sql, parameters))
    assert any(name in plan for name in index.split("|")), f"{sql}\n{plan}"
    assert "Sort" not in plan and "TEMP B-TREE FOR ORDER" not in plan, plan


def test_given_jobs_of_all_kinds_then_every_filter_pages_through_its_own(store_url: str) -> None:
    shop = Shop(store_url)
    made: dict[str, list[str]] = {"tagged": [], "failed": [], "pending": []}
    for number in range(7):
        job = shop.order(tags=("web", f"n{number}") if number % 2 else ())
        if number % 2:
            made["tagged"].append(job)
        if number % 3 == 0:
            shop.service.script["reserve_stock", "action"] = [Rejected("none left")]
            shop.drain()
            made["failed"].append(job)
        else:
            shop.drain()
    made["pending"] = [shop.order()]

    def pages(**filters: str) -> list[str]:
        found, after = [], None
        while True:
            rows, after = list_jobs(shop.db, shop.tenant, after=after, limit=2, **filters)
            found += [row["id"] for row in rows]
            if after is None:
                return found

    newest_first = {name: list(reversed(ids)) for name, ids in made.items()}
    assert pages(tag="web") == newest_first["tagged"]
    assert pages(tag="n3") == [made["tagged"][1]]
    assert pages(state="failed") == newest_first["failed"]
    assert pages(state="failed", saga="shop", tag="web") == [job for job in newest_first["failed"] if job in made["tagged"]]
    assert pages(state="pending") == made["pending"]
    assert pages(state="pending", tag="web") == []
    assert pages(saga="other") == pages(tag="we") == []
    assert len(pages()) == len(pages(saga="shop")) == 8
    assert len(pages(state="completed")) == 8 - 1 - len(made["failed"])
    shop.close()


def test_given_a_tag_said_twice_then_the_job_is_listed_once(store_url: str) -> None:
    shop = Shop(store_url)
    asked = Submission(tenant_id=shop.tenant, saga="shop", input=GOOD, actor="test", tags=("web", "web"))
    job = submit(shop.db, shop.settings, shop.registry, asked).job_id
    assert [row["id"] for row in list_jobs(shop.db, shop.tenant, tag="web")[0]] == [job]
    shop.close()
