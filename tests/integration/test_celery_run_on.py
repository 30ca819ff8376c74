"""Run-on on real workers: fewer messages, the same operations, and Flower sees each of them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine, select

from app.config import Settings
from app.delivery.broker import probe
from app.delivery.producer import producer_app
from app.delivery.publisher import Publisher
from app.engine import decide
from app.engine.dispatch import ring
from app.engine.invariants import violations
from app.engine.submit import Submission, submit
from app.engine.sweep import Sweeper
from app.saga.registry import Registry
from app.store.catalogue import register
from app.store.ids import new_id
from app.store.migrate import upgrade
from app.store.session import open_engine, reading
from app.store.tables import jobs, operations, tenants
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.unit.workers.processes import WorkerProcess
from tests.unit.workers.road_saga import road

FAST = {"LEASE_SECONDS": "2", "HEARTBEAT_SECONDS": "0.5", "HARD_LIMIT_GRACE_SECONDS": "0.5", "SOFT_SHUTDOWN_SECONDS": "1"}


class Road:
    """A store, a broker, one worker, and an ear for Flower's events."""

    def __init__(self, home: Path, redis: RedisServer) -> None:
        home.mkdir()
        url = f"sqlite:///{home / 'store.sqlite'}"
        self.db: Engine = open_engine(url)
        upgrade(self.db)
        self.tenant = new_id()
        with self.db.begin() as tx:
            tx.execute(tenants.insert().values(id=self.tenant, name="default"))
        register(self.db, [road])
        self.settings = Settings(lease_seconds=2.0, heartbeat_seconds=0.5)
        environment = {**FAST, "DATABASE_URL": url, "SUREFOOT_SAGAS": "tests.unit.workers.road_saga", "SUREFOOT_LANES": "east,west"}
        self.worker = WorkerProcess(home, redis.url, app="workers.celery_app", environment=environment)
        self.publisher = Publisher(producer_app(redis.url, "web"), pause_s=0.2)
        self.probe = probe(redis.url)
        self.probe.set_marker("here")
        self.sweeper = Sweeper(self.db, self.settings, self.publisher, self.probe)
        self.heard: list[dict[str, Any]] = []
        self._ear: Any = None
        app = Celery("ear", broker=redis.url)
        self._connection = app.connection_for_read()
        self._receiver = app.events.Receiver(self._connection, handlers={"*": self.heard.append})
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        try:
            self._receiver.capture(limit=None, timeout=None, wakeup=False)
        except Exception as error:  # its connection is closed at the end
            self._ear = error

    def listen(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._receiver.should_stop = True
        self.worker.kill()
        self._connection.release()
        self.probe.close()
        self.db.dispose()

    def rules(self, **steps: dict[str, Any]) -> None:
        (self.worker.home / "rules.json").write_text(json.dumps({name.replace("_undo", ".undo"): rule for name, rule in steps.items()}))

    def submit(self) -> str:
        asked = Submission(tenant_id=self.tenant, saga="road", input={"note": ""}, actor="test")
        submitted = submit(self.db, self.settings, Registry([road]), asked)
        assert ring(self.db, self.publisher, submitted.plan)
        return submitted.job_id

    def land(self, job: str, *, sweep: bool = False) -> str:
        def state() -> str:
            if sweep:
                self.sweeper.run_once()
            with reading(self.db) as connection:
                return str(connection.execute(select(jobs.c.state).where(jobs.c.id == job)).scalar_one())

        wait_until(lambda: state() in ("completed", "failed", "cancelled", "attention"), 30, what=f"job {job} to land")
        assert violations(self.db, slack_s=10.0, bound_s=60.0) == {}
        return state()

    def operations(self, job: str) -> dict[str, Any]:
        with reading(self.db) as connection:
            rows = connection.execute(select(operations).where(operations.c.job_id == job))
            return {row.step if row.kind == "action" else f"{row.step}.{row.kind}": row for row in rows}

    def told(self, operation_id: str) -> list[str]:
        return [event["type"] for event in list(self.heard) if event.get("uuid") == operation_id]

    def lines(self, kind: str, step: str, job: str) -> list[list[str]]:
        return [words for words in self.worker.lines() if words[:3] == [kind, step, job]]


@pytest.fixture
def place(redis_server: RedisServer, tmp_path: Path) -> Iterator[Road]:
    place = Road(tmp_path / "home", redis_server)
    place.listen()
    yield place
    place.close()


def test_given_steps_of_one_lane_then_one_message_carries_them_and_flower_sees_each(place: Road) -> None:
    with place.worker:
        job = place.submit()
        assert place.land(job) == "completed"
        rows = place.operations(job)
        first = rows["one"].id
        assert [rows[step].delivery for step in ("one", "two", "three", "four")] == [first, first, first, rows["four"].id]
        assert {row.attempts for row in rows.values()} == {1}
        assert f"{rows['one'].id}] received" in place.worker.text()
        for step in ("two", "three"):
            assert f"{rows[step].id}] received" not in place.worker.text()
        for step in ("one", "two", "three", "four"):
            wait_until(lambda step=step: "task-succeeded" in place.told(rows[step].id), 10, what=f"Flower to hear of {step}")
            assert place.told(rows[step].id).count("task-succeeded") == 1
            assert "task-started" in place.told(rows[step].id)


def test_given_a_later_step_is_refused_then_the_job_is_undone_and_flower_sees_which_failed(place: Road) -> None:
    place.rules(three={"raises": "rejected"})
    with place.worker:
        job = place.submit()
        assert place.land(job) == "failed"
        rows = place.operations(job)
        wait_until(lambda: "task-failed" in place.told(rows["three"].id), 10, what="Flower to hear of the refusal")
        assert "task-failed" not in place.told(rows["one"].id)
        assert rows["two.undo"].state == "completed"
        assert place.lines("start", "four", job) == []


def test_given_a_child_killed_in_a_later_step_then_the_message_resumes_there_and_nothing_is_done_twice(place: Road) -> None:
    place.rules(two={"sleep": 1.5, "times": 1})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.lines("start", "two", job), what="the second step to run")
        os.kill(int(place.lines("start", "two", job)[0][3]), signal.SIGKILL)
        assert place.land(job) == "completed"
        rows = place.operations(job)
        assert [rows[step].attempts for step in ("one", "two", "three")] == [1, 2, 1]
        assert len(place.lines("start", "one", job)) == 1


def test_given_a_later_step_outlives_its_lease_then_heartbeats_keep_it(place: Road) -> None:
    place.rules(two={"sleep": 1.9})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.lines("start", "two", job), what="the second step to run")
        assert place.land(job, sweep=True) == "completed"
        assert {row.attempts for row in place.operations(job).values()} == {1}


def test_given_a_cancel_while_a_later_step_runs_then_the_ride_ends_there(place: Road) -> None:
    place.rules(two={"sleep": 1.0})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.lines("start", "two", job), what="the second step to run")
        decision = decide.cancel(place.db, place.settings, job, "test")
        ring(place.db, place.publisher, decision.plan)
        assert place.land(job, sweep=True) == "cancelled"
        assert place.lines("start", "three", job) == []
        assert place.operations(job)["two.undo"].state == "completed"
