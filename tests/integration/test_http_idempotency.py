"""Many requests with one key at the same instant are one job, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs
from tests.contract.views.shop import Caller, Shop

REQUESTS = 50


@pytest.fixture
def shop_url(ready_url: str) -> str:
    return ready_url  # on each database


def test_given_fifty_parallel_posts_with_one_key_when_all_have_answered_then_one_job(
    shop: Shop,
) -> None:
    app, key = shop.web(), shop.key()
    together = threading.Barrier(16)

    def post(n: int) -> tuple[int, str, str | None]:
        if n < together.parties:
            together.wait(timeout=20)
        answer = Caller(app, key).submit(headers={"Idempotency-Key": "one"})
        return (
            answer.status_code,
            answer.get_json().get("id"),
            answer.headers.get("Idempotent-Replayed"),
        )

    with ThreadPoolExecutor(together.parties) as pool:
        answers = list(pool.map(post, range(REQUESTS)))
    assert {status for status, _, _ in answers} == {202}
    assert len({job_id for _, job_id, _ in answers}) == 1
    assert sum(replayed is None for _, _, replayed in answers) == 1
    with reading(shop.db) as connection:
        assert connection.execute(select(func.count()).select_from(jobs)).scalar_one() == 1
