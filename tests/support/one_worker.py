"""One real worker on a store and a broker of its own, and an ear for Flower's events."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from surefoot.app.config import Settings
from surefoot.app.delivery.broker import probe
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.ids import new_id
from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs, operations, tenants
from tests.support.redis_server import RedisServer
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until
from tests.unit.workers.processes import WorkerProcess

LEASE_S = 4.0  # longer than a busy machine makes a heartbeat late: who counts attempts wants none to be lost by that
FAST = {
    "SUREFOOT_LEASE_SECONDS": f"{LEASE_S:g}",
    "SUREFOOT_HEARTBEAT_SECONDS": "0.5",
    "SUREFOOT_HARD_LIMIT_GRACE_SECONDS": "0.5",
    "SUREFOOT_SOFT_SHUTDOWN_SECONDS": "1",
}


class OneWorker:
    """`saga`, of `module`, is what it knows. The caller starts `worker` and closes the whole."""

    def __init__(self, home: Path, redis: RedisServer, saga: Saga[Any], module: str) -> None:
        home.mkdir()
        self.saga = saga
        url = f"sqlite:///{home / 'store.sqlite'}"
        self.db: Engine = open_new_store(url)
        self.tenant = new_id()
        with self.db.begin() as tx:
            tx.execute(tenants.insert().values(id=self.tenant, name="default"))
        register(self.db, [saga])
        self.settings = Settings(lease_seconds=LEASE_S, heartbeat_seconds=0.5)
        environment = {
            **FAST,
            "DATABASE_URL": url,
            "SUREFOOT_SAGAS": module,
            "SUREFOOT_LANES": "east,west",
        }
        self.worker = WorkerProcess(
            home, redis.url, app="surefoot.workers.celery_app", environment=environment
        )
        self.publisher = Publisher(producer_app(redis.url, "web"), pause_s=0.2)
        self.probe = probe(redis.url)
        self.probe.set_marker("here")
        self.sweeper = Sweeper(self.db, self.settings, self.publisher, self.probe)
        self.heard: list[dict[str, Any]] = []
        self._ear: Any = None
        app = producer_app(redis.url)
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
        (self.worker.home / "rules.json").write_text(
            json.dumps({name.replace("_undo", ".undo"): rule for name, rule in steps.items()})
        )

    def submit(self) -> str:
        asked = Submission(
            tenant_id=self.tenant, saga=self.saga.name, input={"note": ""}, actor="test"
        )
        submitted = submit(self.db, self.settings, Registry([self.saga]), asked)
        # as impatient as the web server is; the machine may pause just then, so it is tried again
        wait_until(
            lambda: publish_plan(self.db, self.publisher, submitted.plan),
            what="the broker to take the first messages",
        )
        return submitted.job_id

    def land(self, job: str, *, sweep: bool = False) -> str:
        def state() -> str:
            if sweep:
                self.sweeper.run_once()
            with reading(self.db) as connection:
                return str(
                    connection.execute(select(jobs.c.state).where(jobs.c.id == job)).scalar_one()
                )

        wait_until(
            lambda: state() in ("completed", "failed", "cancelled", "attention"),
            90,
            what=f"job {job} to land",
        )
        assert violations(self.db, slack_s=10.0, bound_s=60.0) == {}
        return state()

    def operations(self, job: str) -> dict[str, Any]:
        with reading(self.db) as connection:
            rows = connection.execute(select(operations).where(operations.c.job_id == job))
            return {
                row.step if row.kind == "action" else f"{row.step}.{row.kind}": row for row in rows
            }

    def told(self, operation_id: str) -> list[str]:
        return [event["type"] for event in list(self.heard) if event.get("uuid") == operation_id]

    def open(self, gate: str) -> None:
        """Let those go on whom a rule has stand before it."""
        (self.worker.home / gate).touch()

    def lines(self, kind: str, step: str, job: str) -> list[list[str]]:
        return [words for words in self.worker.lines() if words[:3] == [kind, step, job]]
