"""A relay, a bank, and a worker for each lane, as processes that a test can end for good and start again."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from surefoot.app.access import tenants as tenant_keeping
from surefoot.app.config import Settings
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, jobs, operations
from tests.support import warm
from tests.support.files import said_in
from tests.support.hasty_orders import hasty
from tests.support.ports import free_port
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until
from tests.unit.workers.processes import ROOT, WorkerProcess

FAST = {
    "SUREFOOT_LEASE_SECONDS": "3",
    "SUREFOOT_HEARTBEAT_SECONDS": "1",
    "SUREFOOT_SOFT_SHUTDOWN_SECONDS": "1",
    "SUREFOOT_BANK_SLOW_SECONDS": "4",
    "SUREFOOT_BANK_TIMEOUT_SECONDS": "8",
}
ENDED = ("completed", "failed", "cancelled")
LANES = ("orders", "inventory", "payments")


class LanesApart:
    """Everything of one store and one broker. `start` all of it; `close` at the end."""

    def __init__(self, home: Path, broker_url: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.url = f"sqlite:///{home / 'surefoot.sqlite'}"
        self.env = {
            **FAST,
            "DATABASE_URL": self.url,
            "SUREFOOT_SAGAS": "tests.support.hasty_orders",
            "SUREFOOT_HOME": str(home),
        }
        self.env |= {"BROKER_URL": broker_url, "SUREFOOT_ENV": "test", "PYTHONPATH": str(ROOT)}
        self.db: Engine = open_new_store(self.url)
        register(self.db, [hasty])
        self.tenant = tenant_keeping.ensure(self.db, "default")
        self.settings = Settings(env="test", lease_seconds=3, heartbeat_seconds=1)
        self.publisher = Publisher(producer_app(broker_url, "web"), pause_s=0.2)
        self.workers: dict[str, WorkerProcess] = {}
        self._bank_port = free_port()
        self.processes: dict[str, warm.Process] = {}

    # --- processes -------------------------------------------------------------------------------------------------
    def start(self) -> LanesApart:
        self.start_bank()
        self.cli("stock", "pear", "1000")
        self._run("relay", "surefoot.workers.relay")
        for lane in LANES:
            self.start_worker(lane)
        return self

    def start_worker(self, lane: str) -> WorkerProcess:
        own = self.home / f"{lane}-{len(list(self.home.glob(f'{lane}-*')))}"
        environment = {**self.env, "SUREFOOT_LANES": lane}
        worker = WorkerProcess(
            own,
            self.env["BROKER_URL"],
            app="surefoot.workers.celery_app",
            concurrency=1,
            environment=environment,
        )
        self.workers[lane] = worker
        return worker.start()

    def start_bank(self) -> None:
        file = self.home / "bank.url"
        file.unlink(missing_ok=True)
        self._run("bank", "surefoot.app.cli", "bank", "--port", str(self._bank_port))
        said_in(file, "the bank")

    def stop(self, name: str) -> None:
        """SIGKILL, for good."""
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def _run(self, name: str, *words: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = warm.start(
                words, env={**os.environ, **self.env}, said=log, cwd=ROOT
            )

    def cli(self, *words: str) -> str:
        command = ["surefoot.app.cli", *words]
        done = warm.run(command, env={**os.environ, **self.env}, cwd=ROOT, timeout_s=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
        for name in list(self.processes):
            self.stop(name)
        self.db.dispose()

    # --- work --------------------------------------------------------------------------------------------------------
    def order(self, **changes: Any) -> str:
        value = {
            "customer": "Ada",
            "email": "ada@example.com",
            "sku": "pear",
            "quantity": 1,
            "amount_cents": 900,
            "card": "tok_ok",
            **changes,
        }
        wanted = Submission(tenant_id=self.tenant, saga="hasty_order", input=value, actor="test")
        done = submit(self.db, self.settings, Registry([hasty]), wanted)
        publish_plan(self.db, self.publisher, done.plan)
        return done.job_id

    # --- looking -----------------------------------------------------------------------------------------------------
    def states(self) -> Counter[str]:
        with reading(self.db) as connection:
            rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
            return Counter({row[0]: row[1] for row in rows})

    def operation(self, job: str, step: str, kind: str = "action") -> Any:
        o = operations.c
        with reading(self.db) as connection:
            return connection.execute(
                select(operations).where(o.job_id == job, o.step == step, o.kind == kind)
            ).one_or_none()

    def letters(self, state: str = "open") -> list[Any]:
        with reading(self.db) as connection:
            return list(
                connection.execute(select(dead_letters).where(dead_letters.c.state == state))
            )

    def rest(self, timeout_s: float) -> Counter[str]:
        """Wait until every job has ended or asks a person; nothing may be broken then."""
        wait_until(
            lambda: set(self.states()) <= {*ENDED, "attention"},
            timeout_s,
            0.5,
            what=f"all jobs to land: {self.states()}",
        )
        assert violations(self.db, slack_s=20.0, bound_s=60.0) == {}
        return self.states()

    def audit(self) -> dict[str, Any]:
        books: dict[str, Any] = json.loads(self.cli("ledger", "--settled", "--json"))
        assert books["consistent"], books["violations"]
        return books

    def dead_depth(self) -> int:
        from surefoot.app.delivery.dead_lane import DeadLane

        lane = DeadLane(self.env["BROKER_URL"])
        try:
            return lane.depth()
        finally:
            lane.close()
