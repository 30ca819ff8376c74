"""The store refuses a commit, or loses its answer, under a POST: the user sees a job or is asked to come again, never an error."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from surefoot.app.store.session import TRANSACTION_TRIES, reading
from surefoot.app.store.tables import jobs
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import Caller, Shop
from tests.support.wire import Wire


@pytest.fixture
def shop_url(ready_url: str) -> str:
    return ready_url  # on each database


@pytest.fixture
def caller(shop: Shop) -> Caller:
    return Caller(shop.web(), shop.key())


@pytest.fixture
def wire(shop: Shop, caller: Caller) -> Wire:
    return Wire(shop.apps[-1].extensions[EXTENSION].db)


def count(shop: Shop) -> int:
    with reading(shop.db) as connection:
        return int(connection.execute(select(func.count()).select_from(jobs)).scalar_one())


def test_given_commits_that_conflict_when_posted_then_the_transaction_is_repeated_and_one_job_is_there(
    shop: Shop, caller: Caller, wire: Wire
) -> None:
    wire.cut(*range(1, TRANSACTION_TRIES), when="conflict")
    with wire.open():
        answer = caller.submit()
    assert answer.status_code == 202, answer.get_data(as_text=True)
    assert wire.commits >= TRANSACTION_TRIES
    assert count(shop) == 1


def test_given_commits_that_conflict_for_ever_when_posted_then_503_says_when_to_come_again_and_no_job_is_there(
    shop: Shop, caller: Caller, wire: Wire
) -> None:
    wire.cut(*range(1, 100), when="conflict")
    with wire.open():
        answer = caller.submit()
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json"), (
        answer.get_data(as_text=True)
    )
    assert int(answer.headers["Retry-After"]) >= 1
    assert wire.commits <= TRANSACTION_TRIES
    assert count(shop) == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_given_a_commit_without_an_answer_when_posted_again_with_its_key_then_there_is_one_job(
    shop: Shop, caller: Caller, wire: Wire, when: str
) -> None:
    wire.cut(1, when=when)  # type: ignore[arg-type]
    with wire.open():
        unknown = caller.submit(headers={"Idempotency-Key": "once"})
        assert unknown.status_code == 503, unknown.get_data(as_text=True)
        assert int(unknown.headers["Retry-After"]) >= 1
        known = caller.submit(headers={"Idempotency-Key": "once"})
    assert known.status_code == 202
    assert (known.headers.get("Idempotent-Replayed") == "true") is (when == "after")
    assert count(shop) == 1
