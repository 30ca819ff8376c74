"""A page of a list costs the page: each filter has an index that has its jobs in the page's order, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from surefoot.app.access.tenants import ensure
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store import dead_letters, reconciliations
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.views import health, job_lists, list_jobs, stats
from surefoot.app.store.views.counts import needing_person_of
from surefoot.app.store.views.quarantine import kept as quarantine_count
from surefoot.app.store.views.quarantine import page as quarantine_page
from surefoot.app.store.views.reruns import reruns_of
from tests.contract.views.shop import GOOD, Shop
from tests.support.plans import PATHS, first_plan, heard, plan_of, served, sorts
from tests.support.stores import open_new_store

NOBODY = "00000000-0000-7000-8000-000000000000"
FILTERS: dict[str, tuple[dict[str, str], str]] = {
    "none": ({}, "ix_jobs_tenant"),
    "failed": ({"state": "failed"}, "ix_jobs_state"),
    "undone in part": ({"state": "undone_partly"}, "ix_jobs_state"),
    "attention": ({"state": "attention"}, "ix_jobs_state"),
    "running": ({"state": "running"}, "ix_jobs_state"),
    "waiting": ({"state": "waiting"}, "ix_jobs_state"),
    "completed": ({"state": "completed"}, "ix_jobs_tenant"),
    "saga": ({"saga": "shop"}, "ix_jobs_saga"),
    "tag": ({"tag": "web"}, "pk_job_tags|autoindex_surefoot_job_tags"),
    "saga and state": ({"saga": "shop", "state": "failed"}, "ix_jobs_state"),
    "all three": (
        {"saga": "shop", "state": "failed", "tag": "web"},
        "pk_job_tags|autoindex_surefoot_job_tags",
    ),
}


@pytest.fixture
def db(ready_url: str) -> Iterator[Engine]:
    db = open_new_store(ready_url)
    yield db
    db.dispose()


@pytest.mark.parametrize("whose", ["a tenant's", "everybody's"])
@pytest.mark.parametrize("name", FILTERS)
def test_given_a_filter_then_the_page_is_read_in_the_order_of_its_index(
    db: Engine, name: str, whose: str
) -> None:
    filters, index = FILTERS[name]
    tenant = ensure(db)
    if whose == "everybody's" and not filters:
        index = "pk_jobs|autoindex_surefoot_jobs"
    with heard(db) as sent:
        list_jobs(db, tenant if whose == "a tenant's" else None, **filters)
    asked = [one for one in sent if "FROM surefoot_jobs" in one[0] and "LIMIT" in one[0]]
    assert asked
    with db.connect() as connection, connection.begin():
        for statement in asked:
            plan = plan_of(connection, statement, without=PATHS)
            assert served(plan, index), f"{statement[0]}\n{plan}"
            assert not sorts(plan), plan


OPEN_LETTERS = "ix_dead_letters_open|ix_dead_letters_mirror"  # both hold the open ones; on PostgreSQL's empty tables they cost the same
OTHERS: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "open letters": (
        lambda c: dead_letters.page(c, DeadLetterFilter(tenant_id=NOBODY), NOBODY, 10),
        OPEN_LETTERS,
    ),
    "open letters of a saga": (
        lambda c: dead_letters.page(
            c, DeadLetterFilter(tenant_id=NOBODY, saga="shop", why="stalled"), None, 10
        ),
        OPEN_LETTERS,
    ),
    "everybody's open letters": (
        lambda c: dead_letters.page(c, DeadLetterFilter(), None, 10),
        "ix_dead_letters_mirror",
    ),
    "closed letters": (
        lambda c: dead_letters.page(
            c, DeadLetterFilter(tenant_id=NOBODY, state="closed"), None, 10
        ),
        "ix_dead_letters_tenant",
    ),
    "letters of a job": (
        lambda c: dead_letters.page(c, DeadLetterFilter(tenant_id=NOBODY, job_id=NOBODY), None, 10),
        f"ix_dead_letters_job|{OPEN_LETTERS}",
    ),
    "letters to be dated": (
        lambda c: dead_letters.unscheduled(c, DeadLetterFilter(tenant_id=NOBODY), 10),
        OPEN_LETTERS,
    ),
    "everybody's to be dated": (
        lambda c: dead_letters.unscheduled(c, DeadLetterFilter(), 10),
        "ix_dead_letters_mirror",
    ),
    "letters that are due": (lambda c: dead_letters.due(c, 10), "ix_dead_letters_redrive"),
    "letters long overdue": (
        lambda c: dead_letters.redrive_lag_s(c, 5.0),
        "ix_dead_letters_redrive",
    ),
    "letters for the broker's lane": (
        lambda c: dead_letters.to_mirror(c, 10),
        "ix_dead_letters_mirror",
    ),
    "quarantine": (
        lambda c: quarantine_page(c, None, discarded=False, after_id=NOBODY, limit=10),
        "ix_quarantine_kept",
    ),
    "quarantine, discarded": (
        lambda c: quarantine_page(c, None, discarded=True, after_id=None, limit=10),
        "pk_quarantine|autoindex_surefoot_quarantine",
    ),
    "a tenant's quarantine": (
        lambda c: quarantine_page(c, NOBODY, discarded=False, after_id=NOBODY, limit=10),
        "ix_quarantine_tenant",
    ),
    "a tenant's quarantine, discarded": (
        lambda c: quarantine_page(c, NOBODY, discarded=True, after_id=None, limit=10),
        "ix_quarantine_tenant",
    ),
    "a tenant's findings ever": (
        lambda c: reconciliations.page(c, NOBODY, only_open=False, after_id=None, limit=10),
        "ix_reconciliations_tenant",
    ),
    "everybody's findings ever": (
        lambda c: reconciliations.page(c, None, only_open=False, after_id=None, limit=10),
        "pk_reconciliations|autoindex_surefoot_reconciliations",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_given_another_list_then_its_page_is_read_in_the_order_of_its_index(
    db: Engine, name: str
) -> None:
    ask, index = OTHERS[name]
    sql, plan = first_plan(db, ask, without=PATHS)
    assert served(plan, index), f"{sql}\n{plan}"
    assert not sorts(plan) or name == "letters of a job", plan  # a job has few


FEW: dict[
    str, tuple[Callable[[Connection], Any], str]
] = {  # read whole, and sorted or counted: what is open is little
    "letters to be sent back": (
        lambda c: dead_letters.unschedule(c, DeadLetterFilter(tenant_id=NOBODY), "test"),
        "ix_dead_letters_",
    ),
    "letters that are put off": (
        lambda c: dead_letters.delay_all(c, 5.0),
        "ix_dead_letters_redrive",
    ),
    "letters of a job that is run again": (
        lambda c: dead_letters.close_of_job(c, NOBODY, retried_as=NOBODY, actor="a", why="b"),
        f"ix_dead_letters_job|ix_dead_letters_blocking|{OPEN_LETTERS}",
    ),
    "kept in quarantine": (quarantine_count, "ix_quarantine_kept|ix_quarantine_tenant_kept"),
    "a tenant's open findings": (
        lambda c: reconciliations.page(c, NOBODY, only_open=True, after_id=NOBODY, limit=10),
        "ix_reconciliations_open|uq_reconciliations_open",
    ),
    "everybody's open findings": (
        lambda c: reconciliations.page(c, None, only_open=True, after_id=None, limit=10),
        "ix_reconciliations_open|uq_reconciliations_open",
    ),
    "re-runs of a page of jobs": (lambda c: reruns_of(c, [NOBODY] * 50), "ix_jobs_retry_of"),
    "what the relay left behind": (
        lambda c: stats.left_behind(c, 60.0),
        "ix_operations_leased|ix_operations_worker",
    ),
    "the oldest that is ready": (
        lambda c: health.oldest_s(c, past=False),
        "ix_operations_claim_deadline",
    ),
    "the oldest past its time": (
        lambda c: health.oldest_s(c, past=True),
        "ix_operations_claim_deadline",
    ),
    "a tenant's jobs in attention": (
        lambda c: needing_person_of(c, NOBODY),
        "ix_jobs_attention|ix_jobs_state",
    ),
    "jobs in attention": (stats.attention, "ix_jobs_attention|ix_jobs_state"),
}


@pytest.mark.parametrize("name", FEW)
def test_given_what_is_open_when_it_is_counted_or_changed_then_nothing_that_is_closed_is_read(
    db: Engine, name: str
) -> None:
    ask, index = FEW[name]
    sql, plan = first_plan(db, ask)
    assert served(plan, index), f"{sql}\n{plan}"


def test_given_two_tenants_and_a_scan_cut_short_then_a_filter_over_everybody_pages_through_all_in_order(
    ready_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lists, "SCAN_ROWS", 3)
    shop = Shop(ready_url)
    other = ensure(shop.db, "other")
    made: list[str] = []

    def order(count: int) -> None:
        mine = shop.tenant
        for number in range(count):
            shop.tenant = other if number % 3 == 0 else mine
            made.append(shop.order(tags=("web",)))
        shop.tenant = mine

    order(6)
    shop.cancel(made[5])
    shop.drain()
    order(6)

    def pages(limit: int, **filters: str) -> list[str]:
        found, after = [], None
        for _ in range(100):
            rows, after = list_jobs(shop.db, None, after=after, limit=limit, **filters)
            assert len(rows) <= limit
            found += [row["id"] for row in rows]
            if after is None:
                return found
        raise AssertionError("it never ends")

    pending, done = made[:5:-1], made[4::-1]
    for limit in (1, 2, 5, 50):
        assert pages(limit, state="cancelled") == [made[5]]
        assert (
            pages(limit, state="pending") == pages(limit, saga="shop", state="pending") == pending
        )
        assert pages(limit, state="completed") == pages(limit, tag="web", state="completed") == done
        assert pages(limit, tag="web") == pages(limit, saga="shop") == pages(limit) == made[::-1]
        assert pages(limit, tag="web", state="failed") == []
    shop.close()


def test_given_jobs_of_all_kinds_then_every_filter_pages_through_its_own(ready_url: str) -> None:
    shop = Shop(ready_url)
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
    assert pages(state="failed", saga="shop", tag="web") == [
        job for job in newest_first["failed"] if job in made["tagged"]
    ]
    assert pages(state="pending") == made["pending"]
    assert pages(state="pending", tag="web") == []
    assert pages(saga="other") == pages(tag="we") == []
    assert len(pages()) == len(pages(saga="shop")) == 8
    assert len(pages(state="completed")) == 8 - 1 - len(made["failed"])
    shop.close()


def test_given_a_tag_said_twice_then_the_job_is_listed_once(ready_url: str) -> None:
    shop = Shop(ready_url)
    asked = Submission(
        tenant_id=shop.tenant, saga="shop", input=GOOD, actor="test", tags=("web", "web")
    )
    job = submit(shop.db, shop.settings, shop.registry, asked).job_id
    assert [row["id"] for row in list_jobs(shop.db, shop.tenant, tag="web")[0]] == [job]
    shop.close()
