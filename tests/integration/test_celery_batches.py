"""Batches on real workers: few messages where members are batchable, and none waits for one that is not after all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.one_worker import OneWorker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers.batch_saga import MEMBERS, batch


@pytest.fixture
def place(redis_server: RedisServer, tmp_path: Path) -> Iterator[OneWorker]:
    place = OneWorker(tmp_path / "home", redis_server, batch, "tests.unit.workers.batch_saga")
    place.listen()
    yield place
    place.close()


def ends(place: OneWorker, job: str) -> list[str]:
    """The steps in the order in which they ended."""
    return [words[1] for words in place.worker.lines() if words[0] == "end" and words[2] == job]


def test_given_brief_members_then_two_messages_do_the_fork_and_its_join_and_flower_sees_each(
    place: OneWorker,
) -> None:
    place.worker.environment["SUREFOOT_BATCH_SECONDS"] = "10"  # however busy this machine is
    with place.worker:
        job = place.submit()
        assert place.land(job) == "completed"
        rows = place.operations(job)
        firsts = {rows["a"].id, rows["d"].id}
        assert [rows[step].message_id for step in MEMBERS] == [rows["a"].id] * 3 + [
            rows["d"].id
        ] * 3
        assert rows["join"].message_id in firsts
        assert {row.attempts for row in rows.values()} == {1}
        for step, row in rows.items():
            assert (f"{row.id}] received" in place.worker.text()) == (row.id in firsts), step
            wait_until(
                lambda row=row: "task-succeeded" in place.told(row.id),
                30,
                what=f"Flower to hear of {step}",
            )
            assert place.told(row.id).count("task-succeeded") == 1
            assert "task-started" in place.told(row.id)


def test_given_a_member_that_takes_long_then_those_behind_it_are_done_elsewhere_meanwhile(
    place: OneWorker,
) -> None:
    place.rules(a={"gate": "others have ended"})
    with place.worker:
        job = place.submit()
        wait_until(lambda: {"b", "c"} <= set(ends(place, job)), 30, what="those behind it")
        place.open("others have ended")
        assert place.land(job) == "completed"
        order = ends(place, job)
        assert "batch_shared" in place.worker.text()
        assert sorted(order) == sorted([*MEMBERS, "join"])
        assert {row.attempts for row in place.operations(job).values()} == {1}


@pytest.mark.long
def test_given_a_member_that_waits_or_fails_for_now_then_those_behind_it_do_not(
    place: OneWorker,
) -> None:
    place.rules(a={"not_yet": 5, "times": 1}, d={"raises": "error", "times": 1})
    with place.worker:
        job = place.submit()
        assert place.land(job, sweep=True) == "completed"
        order = ends(place, job)
        assert {order.index(step) for step in "bc"} < set(range(order.index("a")))
        assert sorted(order) == sorted([*MEMBERS, "join"])


def test_given_a_child_killed_in_a_later_member_then_the_message_resumes_there_and_nothing_is_done_twice(
    place: OneWorker,
) -> None:
    place.worker.environment["SUREFOOT_BATCH_SECONDS"] = "10"
    place.rules(b={"gate": "never", "times": 1})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.lines("start", "b", job), what="the second member to run")
        os.kill(int(place.lines("start", "b", job)[0][3]), signal.SIGKILL)
        assert place.land(job) == "completed"
        assert {step: row.attempts for step, row in place.operations(job).items()} == dict.fromkeys(
            [*MEMBERS, "join"], 1
        ) | {"b": 2}
        assert sorted(ends(place, job)) == sorted([*MEMBERS, "join"])


@pytest.mark.long
def test_given_a_broker_that_is_away_when_a_pack_is_to_be_shared_then_the_relay_sends_what_is_behind(
    place: OneWorker, redis_server: RedisServer
) -> None:
    place.worker.environment["SUREFOOT_BATCH_SECONDS"] = "5"  # by then the broker is away
    place.rules(a={"gate": "the broker is back"}, d={"gate": "the broker is back"})
    with place.worker:
        job = place.submit()
        wait_until(
            lambda: place.lines("start", "a", job) and place.lines("start", "d", job),
            what="both batches to run",
        )
        redis_server.freeze()
        try:
            wait_until(
                lambda: all(place.operations(job)[step].sent_at is None for step in "bcef"),
                30,
                what="the rest to be unsent",
            )
        finally:
            redis_server.thaw()
        place.open("the broker is back")
        assert place.land(job, sweep=True) == "completed"
        assert sorted(ends(place, job)) == sorted([*MEMBERS, "join"])
