"""A worker lives through an outage of its broker, under load and holding messages it has not acknowledged.

Celery 5.7 workers were seen to exit here in other set-ups. These tests are what allows us to ship it as it is: when one
of them fails after an upgrade, a mend is needed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.rules.planner import Chain
from surefoot.app.store.ids import new_id
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers import plain
from tests.unit.workers.processes import WorkerProcess

JOBS = 20
RULES = {"a": {"sleep": 0.2}, "b": {"sleep": 0.1}, "c": {"sleep": 2.5}}


@pytest.fixture
def worker(redis_server: RedisServer, tmp_path: Path) -> WorkerProcess:
    home = tmp_path / "worker"
    home.mkdir()
    (home / "rules.json").write_text(json.dumps(RULES))
    return WorkerProcess(home, redis_server.url)


def publisher_for(redis_server: RedisServer) -> Publisher:
    return Publisher(producer_app(redis_server.url, "relay"), pause_s=0)


def give_work(publisher: Publisher, jobs: int = JOBS) -> None:
    """Chains of a, b and d, and now and then a c, long enough to be held without an ack when the broker goes."""
    for n in range(jobs):
        job = new_id()
        sent(publisher, Chain(tuple(plain.message(job, step) for step in "abd")))
        if n % 4 == 0:
            sent(publisher, Chain((plain.message(job, "c"),)))


def sent(publisher: Publisher, chain: Chain) -> None:
    """A publisher is impatient, and the machine may pause just then: tried again, as the relay would."""
    wait_until(lambda: publisher.publish((chain,)), what="the broker to take a message")


def let_time_pass(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, seconds + 30, 0.2, what="the outage to last")


def outage(
    worker: WorkerProcess,
    redis_server: RedisServer,
    begin: Callable[[], object],
    end: Callable[[], object],
    seconds: float,
    handed_over: int = 0,
) -> None:
    """`handed_over`: so many messages may be on their way to the worker, and in no queue any more, when it begins."""
    with worker:
        pid = worker.pid
        give_work(publisher_for(redis_server))
        wait_until(
            lambda: any(words[:2] == ["start", "c"] for words in worker.lines()),
            60,
            what="a long operation to be running",
        )
        begin()
        let_time_pass(seconds)
        assert worker.running, worker.text()[-3000:]
        before = len(worker.ended())
        end()
        wait_until(
            lambda: len(worker.ended()) > before or not worker.running,
            60,
            what="the worker to go on",
        )
        late = new_id()
        sent(publisher_for(redis_server), Chain((plain.message(late, "l"),)))
        wait_until(
            lambda: "l" in worker.ended() or not worker.running,
            60,
            what="a message sent after the outage",
        )
        assert worker.running, worker.text()[-3000:]
        assert worker.pid == pid
        # What was in the queue is all done. What a broker was handing over when it was killed may be lost with it, and so may a
        # chain's continuation: the relay rings again.
        queued = JOBS + JOBS // 4
        wait_until(
            lambda: len(worker.ended("a", "c")) >= queued - handed_over,
            60,
            what="everything that was queued",
        )


@pytest.mark.parametrize("seconds", [8.0, pytest.param(60.0, marks=pytest.mark.long)])
def test_given_load_when_redis_is_killed_for_a_while_then_the_same_worker_goes_on(
    worker: WorkerProcess, redis_server: RedisServer, seconds: float
) -> None:
    outage(
        worker,
        redis_server,
        lambda: redis_server.stop(kill=True),
        redis_server.start,
        seconds,
        handed_over=1,
    )


@pytest.mark.parametrize("seconds", [8.0, pytest.param(20.0, marks=pytest.mark.long)])
def test_given_load_when_redis_is_frozen_for_a_while_then_the_same_worker_goes_on(
    worker: WorkerProcess, redis_server: RedisServer, seconds: float
) -> None:
    outage(worker, redis_server, redis_server.freeze, redis_server.thaw, seconds)


def test_given_redis_is_gone_when_a_worker_is_told_to_stop_then_it_stops(
    worker: WorkerProcess, redis_server: RedisServer
) -> None:
    worker.environment["PLAIN_DRAIN"] = "1"
    with worker:
        redis_server.stop(kill=True)
        wait_until(lambda: "Cannot connect" in worker.text(), 60, what="the worker to notice")
        assert worker.terminate() == 0, worker.text()[-3000:]


def test_given_an_idle_worker_when_redis_is_restarted_empty_then_it_takes_messages_again(
    worker: WorkerProcess, redis_server: RedisServer
) -> None:
    with worker:
        pid = worker.pid
        redis_server.stop(kill=True)
        redis_server.wipe()
        redis_server.start()
        job = new_id()
        sent(publisher_for(redis_server), Chain(tuple(plain.message(job, step) for step in "de")))
        # one that was taken, and not heard of in time, was sent again
        wait_until(lambda: list(dict.fromkeys(worker.ended())) == ["d", "e"], 60, what="the chain")
        assert worker.pid == pid
        assert worker.running
