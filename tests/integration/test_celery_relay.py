"""The relay as a process: takes over, survives, and rings what nobody sent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from surefoot.app.config import Settings
from surefoot.app.delivery.queues import on_broker
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import tenants
from tests.support import warm
from tests.support.files import changed_at, text_of
from tests.support.freezing import can_be_written, stands_still
from tests.support.redis_server import RedisServer
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until
from tests.unit.workers.fork_saga import fork
from tests.unit.workers.processes import ROOT

FAST = {
    "SUREFOOT_HEARTBEAT_SECONDS": "0.5",
    "SUREFOOT_SWEEP_SECONDS": "0.1",
    "SUREFOOT_UNSENT_SECONDS": "0.2",
    "SUREFOOT_PUBLISH_PAUSE_SECONDS": "0.1",
}
LEASE_S = 4.0  # more than a busy machine makes an active relay wait for its next round
NEVER_S = 600.0  # a lease that lapses in no test
PATIENCE_S = 30.0  # with what comes at once on a quiet machine


class RelayProcess:
    def __init__(
        self, home: Path, broker_url: str, store_url: str, lease_s: float = LEASE_S
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / f"relay-{new_id()}.log"
        self.beat = self.log.with_suffix(".beat")
        lease = {
            "SUREFOOT_HEARTBEAT_FILE": str(self.beat),
            "SUREFOOT_LEASE_SECONDS": f"{lease_s:g}",
            "SUREFOOT_LOST_SECONDS": f"{max(60.0, lease_s):g}",
        }
        ours = {
            **FAST,
            **lease,
            "BROKER_URL": broker_url,
            "DATABASE_URL": store_url,
            "SUREFOOT_HOME": str(home),
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("ab") as log:
            self.process = warm.start(
                ["surefoot.workers.relay"], env={**os.environ, **ours}, said=log, cwd=ROOT
            )

    def text(self) -> str:
        return text_of(self.log)

    def says(self, event: str) -> bool:
        assert self.process.poll() is None, self.text()[-3000:]
        return event in self.text()

    def goes_round(self, times: int) -> None:
        """Wait until it has gone round so often from now on."""
        seen = {changed_at(self.beat)}
        wait_until(
            lambda: seen.add(changed_at(self.beat)) or len(seen) > times,
            PATIENCE_S,
            0.02,
            what=f"{times} rounds",
        )

    def terminate(self) -> int:
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def db(sqlite_url: str) -> Iterator[Engine]:
    engine = open_new_store(sqlite_url)
    register(engine, [fork])
    yield engine
    engine.dispose()


@pytest.fixture
def started(
    redis_server: RedisServer,
    sqlite_url: str,
    tmp_path: Path,
    db: Engine,
    request: pytest.FixtureRequest,
) -> Iterator[list[RelayProcess]]:
    """Two relays; the first one is active. Their lease: LEASE_S, or the test's parameter (s)."""
    lease_s = getattr(request, "param", LEASE_S)
    relays: list[RelayProcess] = []
    try:
        for event in ("relay.active", "relay.started"):
            relays.append(RelayProcess(tmp_path, redis_server.url, sqlite_url, lease_s))
            wait_until(lambda event=event: relays[-1].says(event), PATIENCE_S, what=event)  # type: ignore[misc]
        yield relays
    finally:
        for one in relays:
            one.kill()


@pytest.fixture
def alone(
    redis_server: RedisServer, sqlite_url: str, tmp_path: Path, db: Engine
) -> Iterator[RelayProcess]:
    """One relay: whatever takes it longer than its lease, nobody takes over."""
    relay = RelayProcess(tmp_path, redis_server.url, sqlite_url)
    try:
        wait_until(lambda: relay.says("relay.active"), PATIENCE_S, what="the relay to be active")
        yield relay
    finally:
        relay.kill()


def submit_quietly(db: Engine) -> str:
    """A job whose messages nobody has sent."""
    with reading(db) as connection:
        tenant = connection.execute(select(tenants.c.id)).scalars().first()
    if tenant is None:
        tenant = new_id()
        with db.begin() as tx:
            tx.execute(tenants.insert().values(id=tenant, name="default"))
    return submit(
        db,
        Settings(),
        Registry([fork]),
        Submission(tenant_id=tenant, saga="fork", input={"note": ""}, actor="test"),
    ).job_id


def frozen_without_a_lock(pid: int, folder: Path) -> None:
    """SIGSTOP at a moment when it does not hold the lock of the SQLite file, which would freeze everybody."""

    def done() -> bool:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: stands_still(pid), what="every thread to stand still")
        if can_be_written(folder / "surefoot.sqlite"):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_until(done, what="a moment without locks")


def waiting(redis_server: RedisServer, queue: str = "east") -> int:
    with redis_server.client() as client:
        return int(client.llen(on_broker(queue)))  # type: ignore[arg-type]


def test_given_job_that_nobody_rang_when_a_relay_is_active_then_its_message_leaves(
    started: list[RelayProcess], redis_server: RedisServer, db: Engine
) -> None:
    submit_quietly(db)
    wait_until(lambda: waiting(redis_server) == 1, what="the message")


def test_given_active_relay_killed_when_its_lease_lapses_then_the_other_takes_over(
    started: list[RelayProcess], redis_server: RedisServer, db: Engine
) -> None:
    first, second = started
    assert "relay.active" not in second.text()
    os.kill(first.process.pid, signal.SIGKILL)
    wait_until(lambda: second.says("relay.active"), PATIENCE_S, what="the second to take over")
    submit_quietly(db)
    wait_until(lambda: waiting(redis_server) == 1, what="the message")


@pytest.mark.long
def test_given_active_relay_frozen_past_its_lease_when_it_wakes_then_the_other_stays_active_and_it_sweeps_no_more(
    started: list[RelayProcess], redis_server: RedisServer, db: Engine, tmp_path: Path
) -> None:
    first, second = started
    submit_quietly(db)
    wait_until(
        lambda: first.text().count("swept") == waiting(redis_server) == 1, what="the first to sweep"
    )
    frozen_without_a_lock(first.process.pid, tmp_path)
    submit_quietly(db)
    wait_until(lambda: second.says("relay.active"), PATIENCE_S, what="the second to take over")
    wait_until(lambda: waiting(redis_server) == 2, what="its message")
    assert "relay.lease_lost" not in first.text()
    os.kill(first.process.pid, signal.SIGCONT)
    wait_until(
        lambda: first.says("relay.lease_lost"), PATIENCE_S, what="the first to see that it slept"
    )
    submit_quietly(db)
    wait_until(lambda: waiting(redis_server) == 3, what="a message of the second")
    assert first.text().count("swept") == 1
    assert first.text().count("relay.active") == 1
    assert second.terminate() == 0
    wait_until(
        lambda: first.text().count("relay.active") == 2,
        PATIENCE_S,
        what="the first to be active again",
    )
    submit_quietly(db)
    wait_until(lambda: waiting(redis_server) == 4, what="a message of the first")


@pytest.mark.parametrize("started", [NEVER_S], indirect=True, ids=["a lease of ten minutes"])
def test_given_active_relay_told_to_stop_when_it_ends_then_the_other_is_active_long_before_the_lease_would_have_lapsed(
    started: list[RelayProcess],
) -> None:
    first, second = started
    assert first.terminate() == 0
    assert "relay.stopped" in first.text()
    wait_until(lambda: second.says("relay.active"), PATIENCE_S, what="the second to take over")
    assert second.terminate() == 0


def test_given_broker_that_goes_and_comes_when_jobs_are_submitted_then_they_are_rung_and_the_log_stays_short(
    alone: RelayProcess, redis_server: RedisServer, db: Engine
) -> None:
    redis_server.freeze()
    submit_quietly(db)
    wait_until(lambda: alone.says("broker.unreachable"), PATIENCE_S, what="the relay to notice")
    redis_server.stop(kill=True)
    submit_quietly(db)
    alone.goes_round(8)
    redis_server.start()
    wait_until(lambda: waiting(redis_server) >= 2, PATIENCE_S, what="both messages")
    wait_until(lambda: alone.says("broker.reachable"), PATIENCE_S, what="the relay to say so")
    assert (
        alone.text().count("broker.unreachable") <= alone.text().count("broker.reachable") + 1
    )  # a line for each change, not for each try
    assert "Traceback" not in alone.text()
