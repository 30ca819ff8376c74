"""The engine on real workers: SQLite, Redis or RabbitMQ, Celery, kills."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from kombu import Connection
from sqlalchemy import Engine, select

from surefoot.app.clock import now
from surefoot.app.config import Settings
from surefoot.app.delivery.broker import probe
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.delivery.queues import on_broker
from surefoot.app.doctor.neighbours import neighbours_on_broker
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.engine.worker.execute import UNKNOWN_JOB
from surefoot.app.rules.planner import Chain, Message
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.ids import new_id, operation_id
from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import faults_fired, history, jobs, operations, tenants, workers
from surefoot.workers.remote import REFUSAL
from tests.support.brokers import Broker, OnRabbitMQ, OnRedis
from tests.support.quarantined import quarantined
from tests.support.redis_server import RedisServer
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until
from tests.support.wide_saga import ARMS, wide
from tests.unit.workers.fork_saga import fork
from tests.unit.workers.processes import WorkerProcess

LEASE_S = 4.0  # longer than a busy machine makes a heartbeat late: who counts attempts wants none to be lost by that
FAST = {
    "SUREFOOT_LEASE_SECONDS": f"{LEASE_S:g}",
    "SUREFOOT_HEARTBEAT_SECONDS": "0.5",
    "SUREFOOT_HARD_LIMIT_GRACE_SECONDS": "5",
    "SUREFOOT_SOFT_SHUTDOWN_SECONDS": "1",
}
EVERY_STEP = ["first", "join", "last", "left", "left_too", "right"]


@dataclass
class Place:
    """A store, a broker, a worker for all lanes of the saga `fork`, and a relay that is asked by hand."""

    db: Engine
    broker: Broker
    worker: WorkerProcess
    publisher: Publisher
    settings: Settings
    sweeper: Sweeper

    def submit(self, saga: Saga[Any] = fork) -> str:
        with reading(self.db) as connection:
            tenant = connection.execute(
                select(tenants.c.id).where(tenants.c.name == "default")
            ).scalar_one()
        submitted = submit(
            self.db,
            self.settings,
            Registry([saga]),
            Submission(tenant_id=tenant, saga=saga.name, input={"note": ""}, actor="test"),
        )
        # as impatient as the web server is; the machine may pause just then, so it is tried again
        wait_until(
            lambda: publish_plan(self.db, self.publisher, submitted.plan),
            what="the broker to take the first messages",
        )
        return submitted.job_id

    def rules(self, **steps: dict[str, Any]) -> None:
        (self.worker.home / "rules.json").write_text(
            json.dumps({name.replace("_undo", ".undo"): rule for name, rule in steps.items()})
        )

    def state(self, job: str) -> str:
        with reading(self.db) as connection:
            return str(
                connection.execute(select(jobs.c.state).where(jobs.c.id == job)).scalar_one()
            )

    def operation(self, job: str, step: str, kind: str = "action") -> Any:
        o = operations.c
        with reading(self.db) as connection:
            return connection.execute(
                select(operations).where(o.job_id == job, o.step == step, o.kind == kind)
            ).one()

    def ended(self, job: str) -> list[str]:
        return [words[1] for words in self.worker.lines() if words[0] == "end" and words[2] == job]

    def started(self, job: str, step: str) -> list[list[str]]:
        return [words for words in self.worker.lines() if words[:3] == ["start", step, job]]

    def open(self, gate: str) -> None:
        """Let those go on whom a rule has stand before it."""
        (self.worker.home / gate).touch()

    def land(self, job: str, state: str, *, sweep: bool = True) -> None:
        def there() -> bool:
            if sweep:
                self.sweeper.run_once()
            return self.state(job) in ("completed", "failed", "cancelled", "attention")

        wait_until(there, 90, 0.1, what=f"job {job} to land")
        assert self.state(job) == state
        assert violations(self.db, slack_s=10.0, bound_s=60.0) == {}


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Redis, unless the test is `on_both`."""
    if getattr(request, "param", "redis") == "redis":
        yield OnRedis(request.getfixturevalue("redis_server"))
        return
    host = OnRabbitMQ(request.getfixturevalue("shared_rabbitmq"), new_id()).open()
    yield host
    host.close()


on_both = pytest.mark.parametrize(
    "broker", ["redis", pytest.param("rabbitmq", marks=pytest.mark.long)], indirect=True
)


@contextmanager
def made(home: Path, broker: Broker) -> Iterator[Place]:
    home.mkdir()
    url = f"sqlite:///{home / 'store.sqlite'}"
    db = open_new_store(url)
    with db.begin() as tx:
        tx.execute(tenants.insert().values(id=new_id(), name="default"))
    register(db, [fork, wide])
    settings = Settings(lease_seconds=LEASE_S, heartbeat_seconds=0.5, hard_limit_grace_seconds=5)
    environment = {
        **FAST,
        "DATABASE_URL": url,
        "SUREFOOT_SAGAS": "tests.unit.workers.fork_saga,tests.support.wide_saga",
        "SUREFOOT_LANES": "east,west",
    }
    worker = WorkerProcess(
        home, broker.url, app="surefoot.workers.celery_app", environment=environment
    )
    publisher = Publisher(producer_app(broker.url, "web"), pause_s=0.2)
    probing = probe(broker.url)
    probing.set_marker("here")
    try:
        yield Place(
            db, broker, worker, publisher, settings, Sweeper(db, settings, publisher, probing)
        )
    finally:
        worker.kill()
        probing.close()
        db.dispose()


@pytest.fixture
def place(broker: Broker, tmp_path: Path) -> Iterator[Place]:
    with made(tmp_path / "home", broker) as place:
        yield place


@pytest.fixture(scope="module")
def lasting(module_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One place for all tests of this module that leave its broker and its worker's processes as they are."""
    with (
        made(tmp_path_factory.mktemp("lasting") / "home", OnRedis(module_redis)) as place,
        place.worker,
    ):
        yield place


@pytest.fixture
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place whose worker runs, with no rules and nothing under way: the lasting one, unless the test is `running_on_both`."""
    if getattr(request, "param", "redis") == "redis":
        place: Place = request.getfixturevalue("lasting")
        wait_until(
            place.broker.settled, 30, what="every message of earlier tests to be acknowledged"
        )
        place.rules()
        yield place
        assert place.worker.running, place.worker.text()[-3000:]
        return
    host = OnRabbitMQ(request.getfixturevalue("shared_rabbitmq"), new_id()).open()
    with made(tmp_path / "home", host) as place, place.worker:
        yield place
    host.close()


def on_redis(place: Place) -> OnRedis:
    assert isinstance(place.broker, OnRedis)
    return place.broker


running_on_both = pytest.mark.parametrize(
    "running", ["redis", pytest.param("rabbitmq", marks=pytest.mark.long)], indirect=True
)


@running_on_both
def test_given_healthy_parts_when_jobs_are_submitted_then_chains_and_chords_carry_them_without_the_sweep(
    running: Place,
) -> None:
    ids = [running.submit() for _ in range(10)]
    for job in ids:
        running.land(job, "completed", sweep=False)
        assert sorted(running.ended(job)) == EVERY_STEP
        assert running.ended(job)[-2:] == ["join", "last"]
    with reading(running.db) as connection:
        rows = connection.execute(
            select(operations.c.republished, operations.c.attempts).where(
                operations.c.job_id.in_(ids)
            )
        ).all()
    assert {(row.republished, row.attempts) for row in rows} == {(0, 1)}
    wait_until(running.broker.settled, what="every message acknowledged")


@pytest.mark.long
@pytest.mark.parametrize("running", ["rabbitmq"], indirect=True)
def test_given_another_program_at_our_queue_on_rabbitmq_when_asked_then_doctor_names_the_queue(
    running: Place,
) -> None:
    asked = Settings(broker_url=running.broker.url)
    taken = f"{asked.queue_prefix}east has 2 consumers, and 1 live workers of Surefoot take"

    def said() -> list[str]:
        return [f"{one.level} {one.said}" for one in neighbours_on_broker(asked, running.db)]

    running.land(running.submit(), "completed")
    wait_until(lambda: len(said()) == 1 and said()[0].startswith("OK"), 30, what="ours alone")
    with Connection(running.broker.url) as theirs:
        theirs.channel().basic_consume(
            queue=on_broker("east"), no_ack=False, callback=print, consumer_tag="theirs"
        )
        wait_until(lambda: said()[0].startswith(f"WARN {taken}"), 30, what="the warning")
        assert len(said()) == 1
    wait_until(lambda: said()[0].startswith("OK"), 30, what="ours alone again")


def test_given_a_fork_that_was_joined_then_nothing_of_it_is_kept_in_the_broker(
    running: Place,
) -> None:
    running.land(running.submit(), "completed")
    with on_redis(running).server.client() as client:
        keys: Any = client.keys("*")
        assert not [key for key in keys if b"chord" in key or b"meta" in key]


@running_on_both
def test_given_rejection_when_run_then_the_job_is_undone_by_the_workers(running: Place) -> None:
    running.rules(right={"raises": "rejected"})
    job = running.submit()
    running.land(job, "failed")
    assert "first.undo" in running.ended(job)
    assert running.operation(job, "first", "undo").state == "completed"


@on_both
def test_given_child_killed_in_a_step_when_its_worker_lives_then_the_second_attempt_comes_at_once(
    place: Place,
) -> None:
    place.rules(first={"gate": "never", "times": 1})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.started(job, "first"), what="the step to run")
        os.kill(int(place.started(job, "first")[0][3]), signal.SIGKILL)
        wait_until(
            lambda: len(place.started(job, "first")) == 2,
            30,
            what="the second attempt, by the message put back",
        )  # there is no relay
        place.land(job, "completed", sweep=False)
        assert place.operation(job, "first").attempts == 2
        assert place.operation(job, "first").republished == 0


@on_both
def test_given_step_that_is_deaf_to_its_limit_when_past_its_hard_limit_then_its_child_is_killed(
    place: Place,
) -> None:
    place.rules(left={"stubborn": 60, "times": 1})
    place.worker.environment["SUREFOOT_HARD_LIMIT_GRACE_SECONDS"] = "0.5"
    with place.worker:
        job = place.submit()
        place.land(job, "completed", sweep=False)
        assert place.operation(job, "left").attempts == 2
        assert "operation.killed" in place.worker.text()


def test_given_step_without_a_sign_of_progress_when_it_stalls_then_its_child_is_killed_and_history_says_so(
    place: Place,
) -> None:
    place.rules(last={"sleep": 50, "times": 1})
    with place.worker:
        job = place.submit()
        place.land(job, "completed")
        row = place.operation(job, "last")
        assert row.attempts == 2
        with reading(place.db) as connection:
            h = history.c
            (told,) = connection.execute(
                select(h.detail).where(h.job_id == job, h.event == "stalled")
            ).scalars()
        assert told["error"] == {
            "type": "Stalled",
            "message": "no heartbeat for 3 s (heartbeat_timeout)",
        }
        assert "no heartbeat" in place.worker.text()


def test_given_long_step_that_asks_whether_to_go_on_then_it_does_not_stall(running: Place) -> None:
    running.rules(last={"checks": 4.5})  # longer than its heartbeat_timeout
    job = running.submit()
    running.land(job, "completed", sweep=False)
    assert running.operation(job, "last").attempts == 1


def test_given_a_step_longer_than_its_lease_when_its_message_comes_again_and_again_then_it_is_started_once(
    running: Place,
) -> None:
    running.rules(last={"checks": LEASE_S + 0.5})
    job = running.submit()
    wait_until(lambda: running.started(job, "last"), what="the long step")
    copy = Chain((Message(operation_id(job, "last", "", "action"), "fork.last", "west", job),))
    while running.operation(job, "last").state == "running":
        wait_until(lambda: running.publisher.publish((copy,)), what="the broker to take the copy")
        running.sweeper.run_once()
        with on_redis(running).server.client() as client:
            wait_until(
                lambda: (
                    client.hlen(on_broker("unacked")) <= 1 and not client.llen(on_broker("west"))
                ),
                what="the copy to be answered at once",
            )
    running.land(job, "completed")
    assert len(running.started(job, "last")) == 1
    assert running.operation(job, "last").attempts == 1


@running_on_both
def test_given_an_operation_revoked_by_remote_control_when_its_message_comes_then_it_runs_all_the_same(
    running: Place,
) -> None:
    running.rules(first={"gate": "revoked"})
    job = running.submit()
    wait_until(lambda: running.started(job, "first"), what="the first step")
    control = producer_app(running.broker.url, "web").control
    answers: Any = control.revoke(
        operation_id(job, "last", "", "action"), reply=True, timeout=10, limit=1
    )
    running.open("revoked")
    assert [answer for told in answers for answer in told.values()] == [{"error": REFUSAL}]
    running.land(job, "completed")
    assert running.operation(job, "last").attempts == 1
    assert len(running.started(job, "last")) == 1


COMMANDS: dict[str, dict[str, Any]] = {
    "add_consumer": {"queue": "strange"},
    "autoscale": {"max": 9, "min": 9},
    "cancel_consumer": {"queue": "east"},
    "disable_events": {},
    "election": {"id": "x", "topic": "task", "action": None},
    "hello": {"from_node": "a@b", "revoked": {}},
    "pool_grow": {"n": 3},
    "pool_restart": {"modules": []},
    "pool_shrink": {"n": 2},
    "rate_limit": {"task_name": "fork.last", "rate_limit": "1/h"},
    "revoke_by_stamped_headers": {"headers": {"a": "b"}},
    "terminate": {"signal": "KILL", "task_id": "x"},
    "time_limit": {"task_name": "fork.last", "hard": 1, "soft": 1},
    "made_up": {},
    "shutdown": {},
}


@running_on_both
def test_given_every_command_of_remote_control_when_broadcast_then_nothing_changes_and_the_log_warns(
    running: Place,
) -> None:
    control = producer_app(running.broker.url, "web").control

    def asked(question: str, **arguments: Any) -> Any:
        (answer,) = control.broadcast(
            question, arguments=arguments, reply=True, timeout=20, limit=1
        )
        return next(iter(answer.values()))

    def facts() -> Any:
        return [
            sorted(queue["name"] for queue in asked("active_queues")),
            asked("stats")["pool"]["max-concurrency"],
            running.worker.pid,
        ]

    before, children = facts(), set(running.worker.children)
    control.broadcast("shutdown", pattern="(.*)*x", matcher="pcre")
    for command, arguments in COMMANDS.items():
        assert asked(command, **arguments) == {"error": REFUSAL}, command
        assert "control.refused" in running.worker.text()
    for command in set(COMMANDS) - {"made_up"}:
        wait_until(
            lambda command=command: _refused(running, command), what=f"a line about {command}"
        )  # type: ignore[misc]
    running.land(running.submit(), "completed")
    assert facts() == before
    assert set(running.worker.children) == children


def _refused(running: Place, command: str) -> bool:
    return any(
        "control.refused" in line and command in line for line in running.worker.text().splitlines()
    )


@running_on_both
def test_given_forged_messages_when_consumed_then_they_are_in_quarantine_with_their_reason_and_the_worker_goes_on(
    running: Place,
) -> None:
    pid = running.worker.pid
    job = running.submit()
    running.land(job, "completed")
    other = new_id()
    forged = {
        UNKNOWN_JOB: Message(
            operation_id(other, "first", "", "action"), "fork.first", "east", other
        ),
        "forged: no such operation": Message(
            operation_id(job, "none", "", "action"), "fork.first", "east", job
        ),
        "forged: the operation is of another job": Message(
            operation_id(job, "first", "", "action"), "fork.first", "east", other
        ),
        "forged: the operation is another step's": Message(
            operation_id(job, "first", "", "action"), "fork.left", "east", job
        ),
    }
    for message in forged.values():
        wait_until(
            lambda message=message: running.publisher.publish((Chain((message,)),)),
            what="the broker to take it",
        )  # type: ignore[misc]
    wait_until(
        lambda: len({row["reason"] for row in quarantined(running.db)}) == len(forged),
        what="each of them in quarantine",
    )
    rows = quarantined(running.db)
    assert {row["reason"] for row in rows} == set(forged)
    assert {row["queue"] for row in rows} == {"east"}
    wait_until(running.broker.settled, what="every message acknowledged")
    running.land(running.submit(), "completed")
    assert running.worker.pid == pid


def test_given_step_past_its_soft_limit_when_run_then_it_is_an_ordinary_failure_of_the_same_child(
    running: Place,
) -> None:
    running.rules(left={"sleep": 60, "times": 1})
    children = set(running.worker.children)
    job = running.submit()
    running.land(job, "completed")
    assert set(running.worker.children) == children
    with reading(running.db) as connection:
        told = [
            row.detail
            for row in connection.execute(
                select(history).where(history.c.job_id == job, history.c.event == "attempt_failed")
            )
        ]
    assert "timeout of 2 s" in json.dumps(told)


def test_given_step_that_would_end_its_worker_when_run_then_the_job_is_undone_and_the_child_lives(
    running: Place,
) -> None:
    running.rules(right={"raises": "exit"})
    children = set(running.worker.children)
    job = running.submit()
    running.land(job, "failed")
    assert set(running.worker.children) == children


@pytest.mark.parametrize(
    "rule",
    [{"raises": "memory", "times": 1}, {"breaks": "folder"}, {"breaks": "process"}],
    ids=["memory", "folder", "process"],
)
def test_given_step_that_broke_its_process_when_it_has_ended_then_its_child_is_retired_and_all_else_unharmed(
    running: Place, rule: dict[str, Any]
) -> None:
    running.rules(first=rule)
    pid = running.worker.pid
    job = running.submit()
    running.land(job, "completed")
    broken = int(running.started(job, "first")[0][3])
    wait_until(lambda: broken not in running.worker.children, what="its process to end")
    assert running.worker.pid == pid
    assert {
        step: running.operation(job, step).attempts for step in EVERY_STEP if step != "first"
    } == dict.fromkeys(EVERY_STEP[1:], 1)
    left = running.worker.home / "left"
    assert not left.exists() or not psutil.pid_exists(int(left.read_text()))
    running.rules()
    running.land(running.submit(), "completed")


@pytest.mark.long
def test_given_step_that_leaks_memory_when_it_has_ended_then_its_child_is_replaced_and_the_job_goes_on(
    place: Place,
) -> None:
    place.rules(left_too={"eats": 450})  # above worker_max_memory_per_child
    with place.worker:
        pid = place.worker.pid
        job = place.submit()
        place.land(job, "completed")
        eater = place.operation(job, "left_too").pid
        wait_until(lambda: eater not in place.worker.children, what="its process to end")
        assert place.worker.pid == pid
        assert {place.operation(job, step).attempts for step in EVERY_STEP} == {1}
        place.rules()
        place.land(place.submit(), "completed")


@pytest.mark.long
def test_given_step_that_takes_all_the_memory_there_is_when_run_then_the_job_is_undone(
    place: Place,
) -> None:
    place.rules(right={"eats": 4000})
    with place.worker:
        for process in (
            place.worker.all()
        ):  # the main one too: a child that ran out of memory is replaced by one like it
            process.rlimit(psutil.RLIMIT_AS, (2 << 30, 2 << 30))
        job = place.submit()
        place.land(job, "failed")
        assert "ran out of memory" in json.dumps(place.operation(job, "right").error)


@on_both
def test_given_worker_that_is_told_to_stop_when_a_step_runs_then_it_is_handed_back_at_no_cost(
    place: Place,
) -> None:
    place.rules(first={"stubborn": 60, "times": 1})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.started(job, "first"), what="the step to run")
        assert place.worker.terminate() == 0, place.worker.text()[-3000:]
        row = place.operation(job, "first")
        assert (row.state, row.attempts, row.max_attempts) == ("queued", 1, 4)
        with reading(place.db) as connection:
            assert connection.execute(select(workers.c.stopped_at)).scalars().all() != [None]
        place.rules()
        place.worker.start()
        place.land(job, "completed")


@on_both
def test_given_worker_that_is_told_to_stop_when_a_step_ends_in_time_then_it_is_completed_and_acknowledged(
    place: Place,
) -> None:
    place.rules(first={"sleep": 0.6})
    place.worker.environment["SUREFOOT_SOFT_SHUTDOWN_SECONDS"] = "20"
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.started(job, "first"), what="the step to run")
        assert place.worker.terminate() == 0
        assert place.operation(job, "first").state == "completed"
        assert place.broker.unacknowledged() == 0


@on_both
def test_given_main_process_killed_when_children_are_busy_then_they_die_with_it(
    place: Place,
) -> None:
    place.rules(first={"stubborn": 60, "times": 1})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.started(job, "first"), what="the step to run")
        children = [psutil.Process(pid) for pid in place.worker.children]
        os.kill(place.worker.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs(children, timeout=30)
        assert len(gone) == 2
        assert alive == []
        place.worker.process.wait(30)  # type: ignore[union-attr]
        place.worker.start()
        place.land(job, "completed")
        assert place.operation(job, "first").attempts == 2


def test_given_redis_that_loses_everything_in_mid_job_when_it_is_back_then_the_job_completes(
    place: Place, redis_server: RedisServer
) -> None:
    place.rules(right={"gate": "lost"})
    with place.worker:
        job = place.submit()
        wait_until(lambda: place.started(job, "right"), what="the fork")
        redis_server.flush()
        place.open("lost")
        place.land(job, "completed")
        assert sorted(place.ended(job)) == EVERY_STEP


def test_given_a_fan_out_of_ten_half_done_when_redis_comes_back_empty_then_the_rest_is_done_and_they_meet_once(
    place: Place, redis_server: RedisServer
) -> None:
    place.rules(**{arm: {"gate": "lost"} for arm in ARMS[5:]})  # they come in this order
    with place.worker:
        job = place.submit(wide)
        wait_until(
            lambda: all(place.operation(job, arm).state == "completed" for arm in ARMS[:5]),
            30,
            what="some of the ten",
        )
        redis_server.stop(kill=True)
        redis_server.wipe()
        assert not any(place.operation(job, arm).state == "completed" for arm in ARMS[5:])
        redis_server.start()
        place.open("lost")
        place.land(job, "completed")
        assert sorted(place.ended(job)) == sorted(["root", *ARMS, "meet"])
        assert place.operation(job, "meet").attempts == 1


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_given_ten_members_on_two_workers_when_each_crashes_as_it_has_ended_then_the_join_is_released_once_each_time(
    place: Place,
) -> None:
    """Whichever of the ten is the last: nothing of its join had left when it died."""
    times = 3
    place.worker.environment["SUREFOOT_FAULTS"] = ";".join(
        f"wide.{arm}:crash@after_commit*{times}" for arm in ARMS
    )
    other = WorkerProcess(
        place.worker.home,
        place.broker.url,
        app="surefoot.workers.celery_app",
        environment=place.worker.environment,
    )
    with place.worker, other:
        for _ in range(times):
            job = place.submit(wide)
            place.land(job, "completed")
            assert sorted(place.ended(job)) == sorted(["root", *ARMS, "meet"])
            assert place.operation(job, "meet").attempts == 1
    with reading(place.db) as connection:
        assert {row.times for row in connection.execute(select(faults_fired))} == {times}


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)
@pytest.mark.long
def test_given_a_step_that_waits_for_its_time_when_all_workers_are_killed_and_started_meanwhile_then_it_starts_once_and_in_time(
    place: Place,
) -> None:
    place.rules(right={"not_yet": 6, "times": 1})
    with place.worker:
        job = place.submit()
        wait_until(
            lambda: place.operation(job, "right").state == "waiting", 30, what="the step to wait"
        )
        due = place.operation(job, "right").due_at
    with place.worker:
        with reading(place.db) as connection:
            up = connection.execute(
                select(now())
            ).scalar_one()  # on a busy machine it may be up later than the step is due
        assert place.operation(job, "right").state == "waiting"
        place.land(job, "completed")
    assert [words[-1] for words in place.started(job, "right")] == ["1", "2"]
    with reading(place.db) as connection:
        h = history.c
        ended = connection.scalar(
            select(h.at).where(h.job_id == job, h.step == "right", h.event == "completed")
        )
    assert ended >= due
    assert ended - max(due, up) < timedelta(seconds=20)
