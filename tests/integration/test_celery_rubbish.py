"""Whatever lies in a queue, the worker goes on, and a person can look at it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from surefoot.app.delivery.queues import on_broker
from surefoot.app.rules.planner import Chain
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import open_engine
from tests.support.publishing import patient
from tests.support.quarantined import quarantined
from tests.support.redis_server import RedisServer
from tests.support.stores import migrate, open_new_store
from tests.support.waiting import wait_until
from tests.unit.workers import plain
from tests.unit.workers.processes import WorkerProcess

QUEUE = "lane"
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
Envelope = dict[str, Any]


def good(step: str = "a") -> Envelope:
    """The envelope of a right message, as kombu writes it."""
    job = new_id()
    message = plain.message(job, step)
    return {
        "body": encoded([[job, ""], {}, EMBED]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": message.task,
            "id": message.operation_id,
            "root_id": job,
            "parent_id": None,
            "group": None,
            "eta": None,
            "expires": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
        },
        "properties": {
            "correlation_id": message.operation_id,
            "reply_to": "",
            "delivery_mode": 2,
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": new_id(),
            "delivery_info": {"exchange": "", "routing_key": on_broker(QUEUE)},
        },
    }


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def with_headers(**changes: Any) -> Envelope:
    envelope = good()
    envelope["headers"].update(changes)
    return envelope


def without_header(name: str) -> Envelope:
    envelope = good()
    del envelope["headers"][name]
    return envelope


def with_body(value: Any) -> Envelope:
    return good() | {"body": encoded(value)}


def with_embed(**changes: Any) -> Envelope:
    return with_body([[new_id(), ""], {}, EMBED | changes])


RUBBISH: dict[str, Envelope] = {
    "unknown task": with_headers(task="no_such_task"),
    "task of celery's own": with_headers(task="celery.map"),
    "task name is a list": with_headers(task=["a"]),
    "task name is a number": with_headers(task=7),
    "no task": without_header("task"),
    "headers are null": good() | {"headers": None},
    "no id": without_header("id"),
    "id is a number": with_headers(id=12),
    "id is no uuid": with_headers(id="12"),
    "body is null": with_body(None),
    "body is a number": with_body(3),
    "body is a pair": with_body([[], {}]),
    "body is an object": with_body({"args": 1}),
    "body is an old message": with_body({"task": "plain.a", "id": "x", "args": 1, "kwargs": 2}),
    "body is no base64": good() | {"body": "%%%"},
    "body is no JSON": good() | {"body": base64.b64encode(b"{").decode()},
    "body is a nest": good() | {"body": base64.b64encode(b"[" * 5000 + b"]" * 5000).decode()},
    "pickle": good() | {"content-type": "application/x-python-serialize"},
    "unknown content type": good() | {"content-type": "text/nonsense"},
    "unknown compression": with_headers(compression="nonsense"),
    "arguments are numbers": with_body([[1, 2], {}, EMBED]),
    "too many arguments": with_body([["a", "b", "c"], {}, EMBED]),
    "no arguments": with_body([[], {}, EMBED]),
    "keyword arguments": with_body([[new_id(), ""], {"a": 1}, EMBED]),
    "keyword arguments are a list": with_body([[new_id(), ""], [], EMBED]),
    "embed is a text": with_body([[new_id(), ""], {}, "x"]),
    "chain of numbers": with_embed(chain=[1]),
    "chain is an object": with_embed(chain={"a": 1}),
    "chord is a list": with_embed(chord=[1]),
    "callbacks": with_embed(callbacks=[{"task": "plain.a"}]),
    "time limit is a text": with_headers(timelimit="soon"),
    "time limit of texts": with_headers(timelimit=["1", "2"]),
    "time limit is a triple": with_headers(timelimit=[1, 2, 3]),
    "bad ETA": with_headers(eta="tomorrow"),
    "an ETA": with_headers(eta="2099-01-01T00:00:00+00:00"),
    "bad expiry": with_headers(expires=[]),
    "retries are a text": with_headers(retries="many"),
    "stamps": with_headers(stamped_headers=["x"], stamps={"x": 1}),
    "too large": with_embed(
        chain=[
            {
                "task": "plain.a",
                "args": ["x" * 300_000],
                "kwargs": {},
                "options": {},
                "subtask_type": None,
            }
        ]
    ),
    "NUL and half a character": with_headers(task="a\x00b\ud800"),
}
WRECKED = [
    *(b"not json", b"[]", b"null", b"7", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000),
    *(b'{"properties": {}}', b'{"properties": {"delivery_tag": "x"}}'),
    *(json.dumps(good() | {"headers": headers}).encode() for headers in (["task"], "task", 7)),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    db = open_new_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.sqlite'}")
    yield db
    db.dispose()


@pytest.fixture(scope="module")
def worker(
    module_redis: RedisServer, store: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """One worker for all tests of this module whose store is there."""
    home = tmp_path_factory.mktemp("worker")
    with WorkerProcess(
        home, module_redis.url, concurrency=1, environment={"DATABASE_URL": str(store.url)}
    ) as worker:
        yield worker


def kept(store: Engine) -> int:
    """How many messages are in quarantine."""
    return len(quarantined(store))


def run_one(redis_server: RedisServer, worker: WorkerProcess) -> None:
    job = new_id()
    assert patient(redis_server.url).publish((Chain((plain.message(job, "l"),)),))
    wait_until(
        lambda: (
            any(words[:3] == ["end", "l", job] for words in worker.lines()) or not worker.running
        ),
        what="a right message",
    )
    assert worker.running, worker.text()[-3000:]


def test_given_rubbish_in_a_row_when_consumed_then_all_of_it_is_in_quarantine_and_the_worker_goes_on(
    module_redis: RedisServer, worker: WorkerProcess, store: Engine
) -> None:
    assert len(RUBBISH) >= 26
    before, pid, children = kept(store), worker.pid, worker.children
    with module_redis.client() as client:
        for envelope in RUBBISH.values():
            client.lpush(on_broker(QUEUE), json.dumps(envelope))
        run_one(module_redis, worker)
        wait_until(
            lambda: kept(store) >= before + len(RUBBISH), what="every one of them in quarantine"
        )
        wait_until(lambda: client.hlen(on_broker("unacked")) == 0, what="everything acknowledged")
    rows = quarantined(store)
    assert len(rows) == before + len(RUBBISH)
    assert all(row["reason"] and row["queue"] == QUEUE for row in rows)
    assert worker.pid == pid
    assert worker.children == children


def test_given_what_is_no_envelope_when_consumed_then_the_worker_goes_on(
    module_redis: RedisServer, worker: WorkerProcess, store: Engine
) -> None:
    before, pid = kept(store), worker.pid
    with module_redis.client() as client:
        client.lpush(on_broker(QUEUE), *WRECKED)
    run_one(module_redis, worker)
    wait_until(lambda: kept(store) >= before + len(WRECKED), what="all of it in quarantine")
    assert worker.pid == pid
    assert "Connection to broker lost" not in worker.text()
    assert kept(store) == before + len(WRECKED)


def test_given_step_of_another_version_of_the_code_when_consumed_then_the_engine_answers_for_it(
    module_redis: RedisServer, worker: WorkerProcess, store: Engine
) -> None:
    before = kept(store)
    with module_redis.client() as client:
        client.lpush(on_broker(QUEUE), json.dumps(with_headers(task="plain.not_here_yet")))
    wait_until(lambda: worker.ended("not_here_yet"), what="the message to reach the engine")
    assert kept(store) == before


def test_given_store_that_is_away_when_rubbish_comes_then_it_is_kept_until_it_can_be_written(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    late = tmp_path / "late" / "store.sqlite"
    with WorkerProcess(
        tmp_path / "w", redis_server.url, environment={"DATABASE_URL": f"sqlite:///{late}"}
    ) as worker:
        with redis_server.client() as client:
            client.lpush(on_broker(QUEUE), json.dumps(RUBBISH["no id"]))
            wait_until(lambda: "quarantine.not_written" in worker.text(), what="the first try")
            assert client.hlen(on_broker("unacked")) == 1
            late.parent.mkdir()
            migrate(f"sqlite:///{late}")
            db = open_engine(f"sqlite:///{late}")
            wait_until(
                lambda: len(quarantined(db)) == 1 and client.hlen(on_broker("unacked")) == 0,
                what="the second try",
            )
