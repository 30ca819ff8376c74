"""Requests that wait hold threads: they never starve the others. Under the very server and words that `surefoot up` uses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from surefoot.app.supervisor import commands
from surefoot.web.api import responses
from surefoot.web.factory import WAITING_SHARE
from tests.contract.views.shop import Shop
from tests.support.waiting import wait_until
from tests.support.web_process import web_process

WAITING = commands.WEB_THREADS  # as many as there are threads
PLACES = commands.WEB_THREADS // WAITING_SHARE
WAIT_S = responses.WAIT_MOST_S
SOON_S = (
    WAIT_S / 2
)  # less than a waiting request is held for, far more than a plain one takes on a busy machine


@pytest.fixture
def url(shop: Shop, tmp_path: Path) -> Iterator[str]:
    with web_process(shop.url, tmp_path) as found:
        yield found


def test_given_sixteen_waiting_requests_when_another_comes_then_answered_at_once(
    shop: Shop, url: str
) -> None:
    job_id = shop.order()
    key = {"Authorization": f"Bearer {shop.key()}"}
    limits = httpx.Limits(max_connections=WAITING + 4)
    with (
        httpx.Client(base_url=url, headers=key, timeout=30, limits=limits) as http,
        ThreadPoolExecutor(WAITING) as pool,
    ):

        def wait(_: int) -> httpx.Response:
            return http.get(f"/api/v1/jobs/{job_id}", headers={"Prefer": f"wait={WAIT_S}"})

        waiting = [pool.submit(wait, n) for n in range(WAITING)]
        wait_until(
            lambda: sum(one.done() for one in waiting) >= WAITING - PLACES,
            WAIT_S,
            what="those beyond a quarter to be refused",
        )
        took = []
        for path in (f"/api/v1/jobs/{job_id}", "/api/v1/jobs", "/readyz"):
            began = time.monotonic()
            assert http.get(path).status_code == 200
            took.append(time.monotonic() - began)
        held = sum(not one.done() for one in waiting)
        shop.cancel(job_id)  # which ends what they wait for
        assert shop.land(job_id) == "cancelled"
        done = [one.result() for one in waiting]
    assert held == PLACES
    assert max(took) < SOON_S
    granted = [answer for answer in done if "Preference-Applied" in answer.headers]
    refused = [answer for answer in done if "Preference-Applied" not in answer.headers]
    assert (len(granted), len(refused)) == (PLACES, WAITING - PLACES)
    assert all(
        answer.headers["Preference-Applied"] == f"wait={WAIT_S}"
        and answer.json()["state"] == "cancelled"
        for answer in granted
    )
    assert all(
        int(answer.headers["Retry-After"]) >= 1 and answer.json()["state"] == "pending"
        for answer in refused
    )
