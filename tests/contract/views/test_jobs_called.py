"""A job is found by what a person calls it, however old it is, and by its own tenant alone."""

from __future__ import annotations

import pytest

from surefoot.app.access.tenants import ensure
from surefoot.app.store.views import job_view, jobs_called, list_jobs
from surefoot.app.store.views.names import parse_short_name, short_name
from tests.contract.views.shop import Shop
from tests.support.plans import PATHS, heard, plan_of, served


def test_given_a_job_when_it_is_named_as_people_do_then_it_is_found(shop: Shop) -> None:
    job_id = shop.order()
    for _ in range(3):
        shop.order()
    name = job_view(shop.db, job_id, None)["name"]
    for said in (
        job_id,
        job_id.upper(),
        name,
        f" {name.lower()} ",
        name.rpartition("-")[2],
        job_id[:30],
        job_id.replace("-", "")[:28],
    ):
        assert job_id in [job["id"] for job in jobs_called(shop.db, said, shop.tenant)], said
    (found,) = jobs_called(shop.db, name, shop.tenant)
    assert found == next(job for job in list_jobs(shop.db, shop.tenant)[0] if job["id"] == job_id)


def test_given_a_name_that_means_no_job_of_this_tenant_then_nothing_is_found(shop: Shop) -> None:
    name = job_view(shop.db, shop.order(), None)["name"]
    other = ensure(shop.db, "other")
    assert jobs_called(shop.db, name, other) == []
    for said in (
        "",
        "order",
        "order-7K3",
        name.replace("shop", "stop"),
        "%",
        "018f",
        "'; --",
        "order-🍎🍎🍎🍎",
        "zzzzzzzz",
    ):
        assert jobs_called(shop.db, said, shop.tenant) == [], said


@pytest.mark.parametrize("bits", [0, 1, 31, 32, 0xABCDE, 0xFFFFF])
def test_given_a_short_name_when_read_then_it_is_the_end_of_its_id(bits: int) -> None:
    name = short_name("order", f"018f0000-0000-7000-8000-0000000{bits:05x}")
    assert parse_short_name(name) == ("order", f"{bits:05x}")
    assert parse_short_name(name.replace("1", "l").replace("0", "O")) == ("order", f"{bits:05x}")


@pytest.mark.parametrize(
    ("said", "index"),
    [("shop-7K3F", "ix_jobs_name"), ("018f0000-0000", "pk_jobs|autoindex_surefoot_jobs")],
)
def test_given_a_name_then_an_index_finds_its_jobs(shop: Shop, said: str, index: str) -> None:
    with heard(shop.db) as sent:
        jobs_called(shop.db, said, shop.tenant)
    (statement,) = [one for one in sent if "FROM surefoot_jobs" in one[0]]
    with shop.db.connect() as connection, connection.begin():
        plan = plan_of(connection, statement, without=(*PATHS, "indexonlyscan"))
    assert served(plan, index), plan
