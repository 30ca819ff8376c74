"""How many jobs may be open: the next one is refused in time, and what was accepted lands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import TRY_LATER, Commands, outcome
from surefoot.app.engine.jobs.submit import Conditions, Submission, submit
from surefoot.app.errors import TooManyOpenJobs
from surefoot.app.limits.admission import Admission
from surefoot.app.store.job_reads import count_open
from surefoot.app.store.session import reading
from tests.contract.views.shop import GOOD, Caller, Shop
from tests.support.plans import first_plan, heard, served

MOST = 5


@pytest.fixture
def shop(ready_url: str) -> Iterator[Shop]:
    world = Shop(ready_url)
    yield world
    world.close()


def test_given_a_burst_of_ten_times_what_may_be_open_then_the_rest_is_told_to_come_again_and_what_was_accepted_lands(
    shop: Shop,
) -> None:
    user = Caller(shop.web(open_jobs=MOST), shop.key())
    answers = [user.submit(headers={"Idempotency-Key": f"order-{n}"}) for n in range(10 * MOST)]
    assert [answer.status_code for answer in answers] == [202] * MOST + [429] * 9 * MOST
    refused = answers[-1]
    assert refused.get_json()["type"] == "/problems/too-many-requests"
    assert "SUREFOOT_OPEN_JOBS" in refused.get_json()["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert (
        user.submit(headers={"Idempotency-Key": "order-0"}).get_json()["id"]
        == answers[0].get_json()["id"]
    )
    accepted = [answer.get_json()["id"] for answer in answers[:MOST]]
    assert [shop.land(job) for job in accepted] == ["completed"] * MOST


def test_given_as_many_as_may_be_open_when_one_has_ended_then_another_is_taken_and_other_tenants_are_not_concerned(
    shop: Shop,
) -> None:
    admission = Admission(MOST, every_s=0)

    def order() -> str:
        return submit(
            shop.db,
            shop.settings,
            shop.registry,
            Submission(shop.tenant, "shop", GOOD, "test"),
            Conditions(admission.admit),
        ).job_id

    first, *_ = [order() for _ in range(MOST)]
    with pytest.raises(TooManyOpenJobs):
        order()
    with reading(shop.db) as connection:
        admission.admit(connection, "00000000-0000-7000-8000-00000000000f")
    shop.land(first)
    order()


def test_given_a_count_that_is_young_then_nothing_is_counted_again_and_own_jobs_are_added(
    shop: Shop,
) -> None:
    admission = Admission(MOST, every_s=3600)
    with heard(shop.db) as asked, reading(shop.db) as connection:
        for _ in range(MOST):
            admission.admit(connection, shop.tenant)
        with pytest.raises(TooManyOpenJobs):
            admission.admit(connection, shop.tenant)
    assert sum("count(" in sql for sql, _ in asked) == 1


def test_given_many_jobs_then_the_open_ones_are_counted_in_an_index_and_no_further_than_the_bound(
    shop: Shop,
) -> None:
    for _ in range(3):
        shop.order()
    with reading(shop.db) as connection:
        assert count_open(connection, shop.tenant, 2) == 2
        assert count_open(connection, shop.tenant, 10) == 3
    _, plan = first_plan(
        shop.db,
        lambda connection: count_open(connection, shop.tenant, 10),
        without=("seqscan", "bitmapscan"),
    )
    assert served(plan, "ix_jobs_state"), plan


def test_given_as_many_as_may_be_open_when_the_command_line_asks_then_refused_alike_and_its_key_still_has_its_job(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in {
        "DATABASE_URL": shop.url,
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_OPEN_JOBS": "2",
    }.items():
        monkeypatch.setenv(name, value)

    def submitted(key: str) -> tuple[int, str, str]:
        code = outcome(Commands(COMMANDS), ["submit", "shop", json.dumps(GOOD), "--key", key])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err

    capsys.readouterr()
    first, second, third = submitted("a"), submitted("b"), submitted("c")
    assert (first[0], second[0], third[0], third[1]) == (0, 0, TRY_LATER, "")
    assert "2 jobs are open, which is as many as may be (SUREFOOT_OPEN_JOBS)" in third[2]
    assert submitted("a")[:2] == first[:2]
    assert shop.land(first[1]) == "completed"
    assert submitted("c")[0] == 0
