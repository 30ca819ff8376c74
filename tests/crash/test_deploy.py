"""A deploy: workers of two definitions side by side, jobs of the old one under way."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from surefoot.app.access import tenants
from surefoot.app.config import Settings
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import jobs, operations
from tests.support import warm
from tests.support.deployed import NAME, SAGAS, STEPS
from tests.support.files import lines_of
from tests.support.redis_server import RedisServer
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until
from tests.unit.workers.processes import ROOT, WorkerProcess

pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]
ATTEMPTS = 5  # of an action, where its saga says nothing
FAST = {
    "SUREFOOT_LEASE_SECONDS": "10",
    "SUREFOOT_HEARTBEAT_SECONDS": "1",
    "SUREFOOT_SWEEP_SECONDS": "0.3",
    "SUREFOOT_SOFT_SHUTDOWN_SECONDS": "2",
}


class Site:
    """A store, a broker and a relay; workers as a test starts them."""

    def __init__(self, home: Path, broker_url: str) -> None:
        home.mkdir()
        self.home, self.book, self.hold = home, home / "book", home / "hold"
        url = f"sqlite:///{home / 'surefoot.sqlite'}"
        self.env = {
            **FAST,
            "DATABASE_URL": url,
            "BROKER_URL": broker_url,
            "SUREFOOT_HOME": str(home),
            "PYTHONPATH": str(ROOT),
        }
        self.env |= {
            "SUREFOOT_SAGAS": "tests.support.deployed",
            "SUREFOOT_ENV": "test",
            "BOOK": str(self.book),
            "HOLD": str(self.hold),
        }
        self.db: Engine = open_new_store(url)
        self.tenant = tenants.ensure(self.db)
        self.publisher = Publisher(producer_app(broker_url, "web"), pause_s=0.2)
        self.workers: list[WorkerProcess] = []
        with (home / "relay.log").open("ab") as log:
            env = {**os.environ, **self.env, "DEPLOYED": "1"}
            self.relay = warm.start(["surefoot.workers.relay"], env=env, said=log, cwd=ROOT)

    def worker(self, versions: str) -> WorkerProcess:
        """Start one that has these versions."""
        environment = {**self.env, "DEPLOYED": versions}
        home = self.home / f"worker-{len(self.workers)}"
        made = WorkerProcess(
            home,
            self.env["BROKER_URL"],
            app="surefoot.workers.celery_app",
            concurrency=1,
            environment=environment,
        )
        self.workers.append(made)
        return made.start()

    def submit(self, version: int, count: int) -> list[str]:
        """So many jobs of a version, as the web server of that version accepts them; every other one will be refused."""
        register(self.db, [SAGAS[version]])
        found = []
        for number in range(count):
            wanted = Submission(
                tenant_id=self.tenant, saga=NAME, input={"refused": number % 2 == 1}, actor="test"
            )
            done = submit(self.db, Settings(env="test"), Registry([SAGAS[version]]), wanted)
            publish_plan(self.db, self.publisher, done.plan)
            found.append(done.job_id)
        return found

    def submit_as_web_of(self, version: int) -> str:
        """One job as a web server of this version accepts it that has long been there."""
        wanted = Submission(
            tenant_id=self.tenant, saga=NAME, input={"refused": False}, actor="test"
        )
        done = submit(self.db, Settings(env="test"), Registry([SAGAS[version]]), wanted)
        publish_plan(self.db, self.publisher, done.plan)
        return done.job_id

    def pinned(self, job_id: str) -> int:
        with reading(self.db) as connection:
            return int(
                connection.execute(select(jobs.c.version).where(jobs.c.id == job_id)).scalar_one()
            )

    def states(self, ids: list[str]) -> list[str]:
        with reading(self.db) as connection:
            found = {
                row.id: row.state for row in connection.execute(select(jobs.c.id, jobs.c.state))
            }
        return [found[id_] for id_ in ids]

    def waits(self, ids: list[str]) -> bool:
        """Whether the first step of each of these has been asked and says not yet."""
        o = operations.c
        with reading(self.db) as connection:
            query = select(o.id).where(
                o.job_id.in_(ids), o.step == "pack", o.kind == "action", o.fence > 0
            )
            return len(connection.execute(query).all()) == len(ids)

    def attempts_left(self, step: str) -> set[int]:
        """What the attempts of a step leave of those it may have; an attempt that says not yet is given back."""
        o = operations.c
        with reading(self.db) as connection:
            query = select(o.max_attempts - o.attempts).where(o.step == step, o.kind == "action")
            return set(connection.execute(query).scalars())

    def done(self) -> dict[str, list[tuple[int, str, int]]]:
        """job -> (version, step, process) of every function that ran, in order."""
        found = defaultdict(list)
        for line in lines_of(self.book):
            job, version, step, pid = line.split()
            found[job].append((int(version), step, int(pid)))
        return found

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.relay.kill()
        self.relay.wait()
        self.db.dispose()


@pytest.fixture
def site(redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "home", redis_server.url)
    try:
        yield made
    finally:
        made.close()


def as_declared(version: int, *, refused: bool) -> list[tuple[int, str]]:
    steps = (*STEPS[version][:-1], "unpack") if refused else STEPS[version]
    return [(version, step) for step in steps]


def test_given_old_and_new_workers_side_by_side_then_each_job_ends_on_the_definition_it_began_with_and_no_attempt_is_used(
    site: Site,
) -> None:
    site.hold.touch()
    before = site.worker("1")
    old = site.submit(1, 2)
    wait_until(lambda: site.waits(old), 60, what="the old jobs to be under way")
    after = site.worker("2")
    new = site.submit(2, 2)
    wait_until(
        lambda: "definition_missing" in before.text() + after.text(),
        120,
        what="a message that came to the wrong worker",
    )
    site.hold.unlink()
    wait_until(
        lambda: set(site.states([*old, *new])) <= {"completed", "failed"},
        120,
        0.3,
        what="all of them to land",
    )

    for version, worker, ids in ((1, before, old), (2, after, new)):
        assert site.states(ids) == ["completed", "failed"]
        for number, job in enumerate(ids):
            done = site.done()[job]
            assert [(of, step) for of, step, _ in done] == as_declared(
                version, refused=number % 2 == 1
            )
            assert {pid for _, _, pid in done} <= set(worker.children)
    assert site.attempts_left("pack") == {ATTEMPTS - 1}
    assert violations(site.db, slack_s=10.0, bound_s=300.0) == {}


def test_given_old_workers_gone_too_soon_then_old_jobs_wait_unharmed_and_end_when_a_worker_has_both_definitions(
    site: Site,
) -> None:
    site.hold.touch()
    before = site.worker("1")
    old = site.submit(1, 2)
    wait_until(lambda: site.waits(old), 60, what="the old jobs to be under way")
    after = site.worker("2")
    assert before.terminate() == 0
    site.hold.unlink()
    new = site.submit(2, 2)
    wait_until(
        lambda: site.states(new) == ["completed", "failed"], 120, 0.3, what="the new jobs to land"
    )
    wait_until(
        lambda: all(job in after.text() for job in old),
        120,
        what="the new worker to meet the old jobs",
    )
    assert site.states(old) == ["running"] * 2
    both = site.worker("1,2")
    wait_until(
        lambda: site.states(old) == ["completed", "failed"], 150, 0.3, what="the old jobs to land"
    )
    for number, job in enumerate(old):
        assert [(of, step) for of, step, _ in site.done()[job]] == as_declared(
            1, refused=number % 2 == 1
        )
        assert {pid for _, _, pid in site.done()[job]} <= set(both.children)
    assert violations(site.db, slack_s=10.0, bound_s=300.0) == {}


def test_given_a_deploy_that_is_rolled_back_then_new_jobs_get_the_old_definition_again_and_land(
    site: Site,
) -> None:
    site.hold.touch()
    new = site.worker("2")
    stranded = site.submit(2, 2)
    wait_until(lambda: site.waits(stranded), 60, what="jobs of the new version to be under way")
    site.worker("1")
    assert new.terminate() == 0
    site.hold.unlink()
    wait_until(
        lambda: site.pinned(site.submit_as_web_of(2)) == 1,
        60,
        what="the old worker to be what is deployed",
    )
    after = site.submit_as_web_of(2)
    wait_until(
        lambda: site.states([after]) == ["completed"],
        120,
        0.3,
        what="a job that came after the roll-back to land",
    )
    assert site.states(stranded) == ["running"] * 2
