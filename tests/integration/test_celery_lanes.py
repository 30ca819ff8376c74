"""In which order a real worker serves its queues."""

from __future__ import annotations

import json
from pathlib import Path

from surefoot.app.rules.planner import Chain
from surefoot.app.store.ids import new_id
from tests.support.publishing import patient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers import plain
from tests.unit.workers.processes import WorkerProcess

COUNT = 8


def test_given_full_queues_when_one_child_serves_them_then_undo_first_and_lanes_in_turn(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    home = tmp_path / "w"
    home.mkdir()
    (home / "rules.json").write_text(json.dumps({step: {"sleep": 0.03} for step in "abcd"}))
    publisher = patient(redis_server.url)
    queue_of = {"a": "east", "b": "west", "c": "east.undo", "d": "west.undo"}
    for (
        step,
        queue,
    ) in queue_of.items():  # everything waits before the worker comes, new work in front
        for _ in range(COUNT):
            assert publisher.publish((Chain((plain.message(new_id(), step, queue),)),))
    with WorkerProcess(
        home, redis_server.url, concurrency=1, environment={"PLAIN_LANES": "east,west"}
    ) as worker:
        wait_until(lambda: len(worker.ended()) == 4 * COUNT, 40, what="everything")
        order = "".join(worker.ended())
    assert set(order[: 2 * COUNT]) == {"c", "d"}
    assert set(order[2 * COUNT :]) == {"a", "b"}
    # No lane starves the other: within its group each has its turn early on.
    assert {"c", "d"} == set(order[:3])
    assert {"a", "b"} == set(order[2 * COUNT : 2 * COUNT + 3])


def test_given_new_work_waiting_when_an_undo_comes_then_it_is_the_next_to_run(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    home = tmp_path / "w"
    home.mkdir()
    (home / "rules.json").write_text(json.dumps({"a": {"sleep": 0.2}}))
    publisher = patient(redis_server.url)
    with WorkerProcess(home, redis_server.url, concurrency=1) as worker:
        for _ in range(15):
            assert publisher.publish((Chain((plain.message(new_id(), "a"),)),))
        wait_until(lambda: worker.ended(), what="the first")
        assert publisher.publish((Chain((plain.message(new_id(), "c", "lane.undo"),)),))
        at = len(worker.ended())  # when it was there, or later
        wait_until(lambda: "c" in worker.ended(), what="the undo")
        assert worker.ended().index("c") <= at + 2  # one runs, one has been fetched
