"""Chains and chords on a real Redis with a real worker, the joins decided by a store of files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from surefoot.app.delivery.publisher import Publisher
from surefoot.app.delivery.queues import on_broker
from surefoot.app.rules.planner import Chain, Chord
from surefoot.app.store.ids import new_id
from tests.support.publishing import patient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers import plain
from tests.unit.workers.processes import WorkerProcess

Log = list[list[str]]


@pytest.fixture(scope="module")
def broker(
    redis_executable: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    server = RedisServer(redis_executable, tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def worker(
    broker: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    with WorkerProcess(tmp_path_factory.mktemp("worker"), broker.url, words=("-E",)) as running:
        yield running


@pytest.fixture
def publisher(broker: RedisServer) -> Publisher:
    return patient(broker.url)


def chain(job: str, steps: str) -> Chain:
    return Chain(tuple(plain.message(job, step) for step in steps))


def rules(worker: WorkerProcess, **steps: dict[str, Any]) -> None:
    (worker.home / "rules.json").write_text(json.dumps(steps))


def events_of(worker: WorkerProcess, job: str) -> list[str]:
    return [f"{words[0]} {words[1]}" for words in worker.lines() if words[2] == job]


def ended(worker: WorkerProcess, job: str) -> str:
    return "".join(words[1] for words in worker.lines() if words[0] == "end" and words[2] == job)


def at_rest(broker: RedisServer) -> bool:
    with broker.client() as client:
        return client.llen(on_broker("lane")) == 0 and client.hlen(on_broker("unacked")) == 0


def chord_keys(client: redis.Redis) -> list[str]:
    found: Any = client.keys("*")
    return [
        key.decode()
        for key in found
        if b"chord" in key or b"celery-task-meta" in key or b"taskset" in key
    ]


def test_given_chain_when_published_then_every_step_runs_once_in_order(
    worker: WorkerProcess, broker: RedisServer, publisher: Publisher
) -> None:
    rules(worker)
    job = new_id()
    assert publisher.publish((chain(job, "abcdefghij"),))
    wait_until(lambda: len(ended(worker, job)) >= 10 and at_rest(broker), what="the chain")
    assert ended(worker, job) == "abcdefghij"


@pytest.mark.parametrize(
    ("header", "body", "of"),
    [
        pytest.param(("a", "b", "c"), "d", "abc", id="header of tasks"),
        pytest.param(("ab", "cde"), "f", "be", id="header of chains"),
        pytest.param(("a", "bc"), "defg", "ac", id="body that is a chain"),
    ],
)
def test_given_chord_when_the_store_releases_the_join_then_body_runs_once_after_all(
    worker: WorkerProcess,
    broker: RedisServer,
    publisher: Publisher,
    header: tuple[str, ...],
    body: str,
    of: str,
) -> None:
    rules(worker, **{step: {"join": body[0], "of": list(of), "sleep": 0.05} for step in of})
    jobs = [new_id() for _ in range(5)]
    for job in jobs:
        assert publisher.publish(
            (Chord(tuple(chain(job, run) for run in header), chain(job, body)),)
        )
    total = sum(map(len, header)) + len(body)
    wait_until(
        lambda: all(len(ended(worker, job)) >= total for job in jobs) and at_rest(broker),
        what="all bodies",
    )
    for job in jobs:
        done = ended(worker, job)
        assert done.endswith(body)
        assert sorted(done) == sorted("".join(header) + body)
    with broker.client() as client:
        assert chord_keys(client) == []


def test_given_header_task_that_is_retried_when_its_later_completion_releases_then_the_body_did_not_run_before(
    worker: WorkerProcess, broker: RedisServer, publisher: Publisher
) -> None:
    rules(worker, a={"join": "d", "of": ["a", "b"]}, b={"verdict": "retry", "error": "not today"})
    job = new_id()
    assert publisher.publish((Chord((chain(job, "a"), chain(job, "b")), chain(job, "d")),))
    wait_until(lambda: len(ended(worker, job)) == 2 and at_rest(broker), what="the header")
    assert sorted(ended(worker, job)) == ["a", "b"]

    rules(worker, b={"join": "d", "of": ["a", "b"]})
    assert publisher.publish(
        (Chord((chain(job, "b"), chain(job, "c")), chain(job, "d")),)
    )  # rung again
    wait_until(lambda: "d" in ended(worker, job) and at_rest(broker), what="the body")
    assert ended(worker, job).count("d") == 1


@pytest.mark.parametrize("verdict", ["dropped", "retry", "parked", "failed"])
def test_given_step_that_does_not_complete_when_it_heads_chain_and_chord_then_nothing_follows(
    worker: WorkerProcess, broker: RedisServer, publisher: Publisher, verdict: str
) -> None:
    rules(worker, a={"verdict": verdict, "error": "no"}, b={"verdict": verdict, "error": "no"})
    job = new_id()
    assert publisher.publish(
        (chain(job, "ac"), Chord((chain(job, "b"), chain(job, "d")), chain(job, "e")))
    )
    wait_until(lambda: len(ended(worker, job)) >= 3 and at_rest(broker), what="the first ones")
    after = new_id()
    assert publisher.publish((chain(after, "l"),))
    wait_until(lambda: ended(worker, after) == "l" and at_rest(broker), what="a later message")
    assert sorted(ended(worker, job)) == ["a", "b", "d"]


def test_given_job_that_turned_when_a_step_completes_then_its_chain_stops(
    worker: WorkerProcess, broker: RedisServer, publisher: Publisher
) -> None:
    rules(worker, a={"stop": True})
    job = new_id()
    assert publisher.publish((chain(job, "ab"),))
    wait_until(lambda: ended(worker, job) == "a" and at_rest(broker), what="the step")
    after = new_id()
    assert publisher.publish((chain(after, "l"),))
    wait_until(lambda: ended(worker, after) == "l" and at_rest(broker), what="a later message")
    assert ended(worker, job) == "a"


@pytest.mark.parametrize("raises", ["memory", "exit", "error"])
def test_given_step_that_breaks_when_run_then_the_same_child_and_worker_go_on(
    worker: WorkerProcess, broker: RedisServer, publisher: Publisher, raises: str
) -> None:
    rules(worker, a={"raises": raises})
    children = set(worker.children)
    for _ in range(3):
        job = new_id()
        assert publisher.publish((chain(job, "ab"),))
        wait_until(
            lambda job=job: ended(worker, job) == "a" and at_rest(broker), what="the broken step"
        )
    assert worker.running
    assert set(worker.children) == children


def test_given_broker_that_is_gone_when_a_step_completes_then_it_is_reported_as_success(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    home = tmp_path / "w"
    home.mkdir()
    (home / "rules.json").write_text(json.dumps({"a": {"sleep": 1.5}}))
    with WorkerProcess(home, redis_server.url) as running:
        job = new_id()
        assert patient(redis_server.url).publish((chain(job, "ab"),))
        wait_until(lambda: running.lines(), what="the first step to start")
        redis_server.stop(kill=True)
        wait_until(lambda: "a" in running.ended(), what="the first step to end")
        wait_until(
            lambda: "succeeded in" in running.text() or "raised" in running.text(),
            what="its outcome in the log",
        )
        assert "succeeded in" in running.text()
        assert running.running
