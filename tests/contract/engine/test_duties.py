"""Each duty of the relay alone: it finds what is its own, heals it once, and leaves the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.operators.redrive import RedrivePlan, redrive_many
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.engine.relay.context import Duty, RelayContext
from surefoot.app.engine.relay.duties.broker_lost import BrokerLost
from surefoot.app.engine.relay.duties.deadlines import Deadlines, UndoDeadlines
from surefoot.app.engine.relay.duties.expired import ExpiredAttempts
from surefoot.app.engine.relay.duties.late_jobs import LateJobs
from surefoot.app.engine.relay.duties.lost_messages import Lost
from surefoot.app.engine.relay.duties.redrives import Redrives
from surefoot.app.engine.relay.duties.stranded import Idle, Stranded
from surefoot.app.engine.relay.duties.timers import Timers
from surefoot.app.engine.relay.duties.unclaimed import Unclaimed
from surefoot.app.engine.relay.duties.unsent import Unsent
from surefoot.app.engine.relay.relay import Sweeper, duties_of
from surefoot.app.errors import StoreUnavailable
from surefoot.app.saga.definition import Saga
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.tables import operations
from tests.support.world import LEASE_S, Participant, Thing, World, diamond

DOWN = RuntimeError("down")
RELAY = Path(__file__).parents[3] / "app" / "engine" / "relay"
LINES = 120
HOUR_S = 3600.0


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    """The usual saga, and one that may take an hour."""
    prompt = Saga("prompt", version=1, input=Thing, sla="1h")

    @prompt.step(lane="a", undo=None)
    def first(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    made = World(ready_url, [diamond(service), prompt], service)
    yield made
    made.db.dispose()


def relay_of(world: World) -> RelayContext:
    return RelayContext(world.db, world.settings, world.broker, world.broker, Isolated(True))


def of_job(world: World, job_id: str, step: str, **values: Any) -> None:
    """Change an operation behind the engine's back."""
    o = operations.c
    with world.db.begin() as tx:
        tx.execute(update(operations).where(o.job_id == job_id, o.step == step).values(**values))


def dead_worker(world: World) -> str:
    job = world.submit()
    world.claim(job, "first")
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    return job


def backing_off(world: World) -> str:
    world.service.script["first", "action"] = [DOWN]
    job = world.submit()
    world.drain()
    assert world.operation(job, "first").state == "waiting"
    world.let_pass(61)
    return job


def past_its_deadline(world: World) -> str:
    job = world.submit(deadline_s=1.0)
    world.deliver_next()
    world.let_pass(2)
    return job


def undone_too_slowly(world: World) -> str:
    job = world.submit()
    world.deliver_next()
    world.cancel(job)
    world.let_pass(world.settings.undo_seconds + 1)
    return job


def not_taken(world: World) -> str:
    job = world.submit()
    world.let_pass(HOUR_S + 1)
    return job


def not_released(world: World) -> str:
    job = world.submit()
    of_job(world, job, "first", state="pending", pending_dependencies=0)
    world.broker.waiting.clear()
    return job


def not_ended(world: World) -> str:
    job = world.submit()
    with world.db.begin() as tx:
        tx.execute(update(operations).where(operations.c.job_id == job).values(state="skipped"))
    return job


def dated(world: World) -> str:
    world.service.script["left", "action"] = [DOWN] * 5
    job = world.submit()
    assert world.land(job) == "failed"
    redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 1, 0), Asked("anna", "w")
    )
    return job


def unsent(world: World) -> str:
    job = world.submit()
    of_job(world, job, "first", sent_at=None)
    world.broker.waiting.clear()
    world.let_pass(world.settings.unsent_seconds + 1)
    return job


def lost(world: World) -> str:
    job = world.submit()
    world.broker.waiting.clear()
    world.let_pass(LEASE_S + 1)
    return job


def forgotten_by_the_broker(world: World) -> str:
    job = world.submit()
    world.broker.flush()
    return job


def late(world: World) -> str:
    world.saga = "prompt"
    job = world.submit()
    world.let_pass(HOUR_S + 1)
    return job


def event(name: str) -> Callable[[World, str], bool]:
    return lambda world, job: any(one.split()[0] == name for one in world.events(job))


def in_broker(world: World, job: str) -> bool:
    return [one.message.job_id for one in world.broker.waiting] == [job]


def ended(world: World, job: str) -> bool:
    return world.state(job) == "completed"


# duty -> what it has to find; how its job is healed
CASES: dict[type, tuple[Callable[[World], str], Callable[[World, str], bool]]] = {
    ExpiredAttempts: (dead_worker, event("attempt_lost")),
    Timers: (backing_off, in_broker),
    Deadlines: (past_its_deadline, event("compensation_started")),
    UndoDeadlines: (undone_too_slowly, lambda world, job: world.state(job) == "attention"),
    Unclaimed: (
        not_taken,
        lambda world, job: world.operation(job, "first").claim_deadline_at is None,
    ),
    Stranded: (not_released, event("requeued_by_sweep")),
    Idle: (not_ended, ended),
    Redrives: (dated, lambda world, job: world.letters(job, "closed") != []),
    LateJobs: (late, event("sla_missed")),
    BrokerLost: (forgotten_by_the_broker, lambda w, job: w.operation(job, "first").sent_at is None),
    Unsent: (unsent, in_broker),
    Lost: (lost, in_broker),
}


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_given_what_a_duty_is_for_when_only_it_runs_then_it_is_found_and_healed_once(
    world: World, kind: type
) -> None:
    broken, healed = CASES[kind]
    (duty,) = (duty for duty in duties_of(relay_of(world)) if type(duty) is kind)
    duty.run_once()  # what it remembers of the broker
    job = broken(world)

    assert not healed(world, job)
    assert duty.run_once() == 1
    assert healed(world, job)
    assert duty.run_once() == 0


def test_given_the_duties_then_each_is_tested_alone_and_has_a_name_of_its_own(world: World) -> None:
    duties = duties_of(relay_of(world))

    tested_elsewhere = {"deleted"}  # test_retention; the mirror: tests/integration/test_dead_lane
    assert {duty.name for duty in duties} == {kind.name for kind in CASES} | tested_elsewhere
    assert len({duty.name for duty in duties}) == len(duties)


class Failing:
    name = "failing"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run_once(self) -> int:
        raise self._error


@pytest.mark.parametrize("error", [TypeError("a mistake"), StoreUnavailable("too slow")])
def test_given_a_duty_that_fails_then_the_others_run(world: World, error: Exception) -> None:
    sweeper = Sweeper(world.db, world.settings, world.broker, world.broker)
    failing: Duty = Failing(error)
    sweeper.duties.insert(0, failing)
    job = lost(world)

    assert sweeper.run_once() == {"lost": 1}
    assert sweeper.isolated.failed == {"failing": 1}
    assert in_broker(world, job)


def test_given_the_modules_of_the_relay_then_each_is_short() -> None:
    long = {
        path.name: lines
        for path in RELAY.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= LINES
    }
    assert long == {}
