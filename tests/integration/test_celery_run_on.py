"""Run-on on real workers: fewer messages, the same operations, and Flower sees each of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.operators import decisions
from tests.support.one_worker import LEASE_S, OneWorker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers.road_saga import road


@pytest.fixture(scope="module")
def lasting(
    module_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OneWorker]:
    """One worker for all tests of this module; one of them kills a child of it, which it replaces."""
    place = OneWorker(
        tmp_path_factory.mktemp("lasting") / "home",
        module_redis,
        road,
        "tests.unit.workers.road_saga",
    )
    place.listen()
    with place.worker:
        yield place
    place.close()


@pytest.fixture
def place(lasting: OneWorker) -> OneWorker:
    lasting.rules()
    return lasting


def test_given_steps_of_one_lane_then_one_message_carries_them_and_flower_sees_each(
    place: OneWorker,
) -> None:
    job = place.submit()
    assert place.land(job) == "completed"
    rows = place.operations(job)
    first = rows["one"].id
    assert [rows[step].message_id for step in ("one", "two", "three", "four")] == [
        first,
        first,
        first,
        rows["four"].id,
    ]
    assert {row.attempts for row in rows.values()} == {1}
    assert f"{rows['one'].id}] received" in place.worker.text()
    for step in ("two", "three"):
        assert f"{rows[step].id}] received" not in place.worker.text()
    for step in ("one", "two", "three", "four"):
        wait_until(
            lambda step=step: "task-succeeded" in place.told(rows[step].id),
            30,
            what=f"Flower to hear of {step}",
        )
        assert place.told(rows[step].id).count("task-succeeded") == 1
        assert "task-started" in place.told(rows[step].id)


def test_given_a_later_step_is_refused_then_the_job_is_undone_and_flower_sees_which_failed(
    place: OneWorker,
) -> None:
    place.rules(three={"raises": "rejected"})
    job = place.submit()
    assert place.land(job) == "failed"
    rows = place.operations(job)
    wait_until(
        lambda: "task-failed" in place.told(rows["three"].id),
        30,
        what="Flower to hear of the refusal",
    )
    assert "task-failed" not in place.told(rows["one"].id)
    assert rows["two.undo"].state == "completed"
    assert place.lines("start", "four", job) == []


def test_given_a_child_killed_in_a_later_step_then_the_message_resumes_there_and_nothing_is_done_twice(
    place: OneWorker,
) -> None:
    place.rules(two={"gate": "never", "times": 1})
    job = place.submit()
    wait_until(lambda: place.lines("start", "two", job), what="the second step to run")
    os.kill(int(place.lines("start", "two", job)[0][3]), signal.SIGKILL)
    assert place.land(job) == "completed"
    rows = place.operations(job)
    assert [rows[step].attempts for step in ("one", "two", "three")] == [1, 2, 1]
    assert len(place.lines("start", "one", job)) == 1


def test_given_a_later_step_outlives_its_lease_then_heartbeats_keep_it(place: OneWorker) -> None:
    place.rules(two={"sleep": LEASE_S + 0.5})
    job = place.submit()
    wait_until(lambda: place.lines("start", "two", job), what="the second step to run")
    assert place.land(job, sweep=True) == "completed"
    assert {row.attempts for row in place.operations(job).values()} == {1}


def test_given_a_cancel_while_a_later_step_runs_then_the_ride_ends_there(place: OneWorker) -> None:
    place.rules(two={"gate": "cancelled"})
    job = place.submit()
    wait_until(lambda: place.lines("start", "two", job), what="the second step to run")
    decision = decisions.cancel(place.db, place.settings, job, "test")
    publish_plan(place.db, place.publisher, decision.plan)
    place.open("cancelled")
    assert place.land(job, sweep=True) == "cancelled"
    assert place.lines("start", "three", job) == []
    assert place.operations(job)["two.undo"].state == "completed"
