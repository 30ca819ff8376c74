"""No worker comes: that is told, and nothing is given up but what its saga says is to be (`queue_timeout=`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store.session import reading
from surefoot.app.store.views import stats
from surefoot.app.store.views.jobs import job_view
from tests.support.world import Participant, Thing, World

HOUR_S = 3600.0


@pytest.fixture
def hasty(ready_url: str, service: Participant) -> Iterator[World]:
    """Gives up after a quarter of an hour without a worker, one step after a minute."""
    saga = Saga("hasty", version=1, input=Thing, queue_timeout="15m")

    @saga.step(lane="a")
    def first(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @first.compensate("exact")
    def undo_first(ctx: Any, o: Any, made: Any) -> None:
        service.act(ctx)

    @saga.step(lane="b", undo=None, queue_timeout="1m")
    def second(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    made = World(ready_url, [saga], service)
    yield made
    made.db.dispose()


def nobody_for(world: World, seconds: float, *, redelivered: bool = False) -> None:
    """Workers are away for so long, with the relay at work meanwhile."""
    world.let_pass(seconds)
    world.sweep()
    world.sweep()
    if not redelivered:
        world.broker.waiting.clear()


def unattended(world: World) -> dict[str, int]:
    with reading(world.db) as connection:
        return {lane.queue: lane.unattended for lane in stats.lanes(connection)}


def test_given_workers_away_for_an_hour_then_nothing_fails_it_is_told_and_all_lands(
    world: World, service: Participant
) -> None:
    not_begun, begun, undone = world.submit(), world.submit(), world.submit()
    for _ in range(3):
        world.deliver(world.next())
    world.cancel(undone)
    world.broker.waiting.clear()
    nobody_for(world, HOUR_S + 60)
    assert {world.state(job) for job in (not_begun, begun)} == {"running"}
    assert world.state(undone) == "compensating"
    assert not world.letters(not_begun) + world.letters(begun) + world.letters(undone)
    assert unattended(world) == {"a.undo": 1, "b": 2, "c": 2}
    assert "is not given up" in why(world.db, begun, None)["sentence"]
    assert all(wait["ends_by"] is None for wait in why(world.db, begun, None)["waiting_for"])
    assert world.sweep().get("nobody_came") is None, "it is told once"
    assert [world.land(job) for job in (not_begun, begun, undone)] == [
        "completed",
        "completed",
        "cancelled",
    ]
    assert set(unattended(world).values()) <= {0}
    assert not world.broken()


def test_given_nobody_comes_past_the_pivot_then_no_person_is_asked_and_the_job_completes(
    world: World,
) -> None:
    job = world.submit()
    while world.operation(job, "commit").state != "completed":
        world.deliver(world.next())
    world.broker.waiting.clear()
    nobody_for(world, 24 * HOUR_S)
    assert (world.state(job), world.letters(job)) == ("running", [])
    assert world.land(job) == "completed"


def test_given_the_clock_jumps_ahead_while_all_are_at_work_then_nothing_fails(
    world: World, service: Participant
) -> None:
    jobs = [world.submit() for _ in range(3)]
    for _ in range(4):
        world.deliver(world.next())
        world.let_pass(2 * HOUR_S)
        world.sweep()
    assert {world.land(job) for job in jobs} == {"completed"}
    assert all(count == len(jobs) for count in service.calls.values())


def test_given_what_was_told_is_tried_and_fails_then_its_clock_begins_anew(
    world: World, service: Participant
) -> None:
    service.script["first", "action"] = [OSError("away")]
    job = world.submit()
    nobody_for(world, HOUR_S)
    assert world.operation(job, "first").claim_deadline_at is None
    nobody_for(world, 130, redelivered=True)
    world.deliver(world.next())
    world.let_pass(61)
    world.sweep()
    row = world.operation(job, "first")
    assert row.state == "queued" and row.claim_deadline_at is not None


def test_given_a_saga_that_gives_up_and_nobody_comes_then_the_action_fails_for_that_reason_and_all_is_undone(
    hasty: World, service: Participant
) -> None:
    job = hasty.submit()
    hasty.deliver(hasty.next())
    hasty.broker.waiting.clear()
    assert why(hasty.db, job, None)["waiting_for"][0]["ends_by"] is not None
    hasty.let_pass(61)
    hasty.sweep()
    assert hasty.land(job) == "failed"
    assert {letter.why for letter in hasty.letters(job)} == {"queue_timeout"}
    assert service.steps("undo") == ["first"]


def test_given_a_saga_that_gives_up_and_nobody_comes_for_an_undo_then_a_person_is_asked_and_the_error_says_so(
    hasty: World,
) -> None:
    job = hasty.submit()
    hasty.deliver(hasty.next())
    hasty.cancel(job)
    nobody_for(hasty, 901)
    assert hasty.state(job) == "attention"
    (letter,) = hasty.letters(job)
    assert (letter.why, letter.kind, letter.error["type"]) == (
        "queue_timeout",
        "undo",
        "QueueTimeout",
    )
    assert job_view(hasty.db, job, None)["trouble"]["type"] == "QueueTimeout"


def test_given_many_that_wait_on_then_those_that_give_up_are_found_behind_them(
    ready_url: str, service: Participant
) -> None:
    patient, brisk = (
        Saga(name, version=1, input=Thing, queue_timeout=limit)
        for name, limit in (("patient", None), ("brisk", "1h"))
    )
    for saga in (patient, brisk):
        saga.step(lane="a", undo=None)(lone)
    world = World(ready_url, [patient, brisk], service, sweep_rows=2)
    waiting = [world.submit() for _ in range(5)]
    world.saga = "brisk"
    given_up = world.submit()
    for _ in range(4):
        nobody_for(world, HOUR_S)
    assert world.state(given_up) == "failed"
    assert {world.state(job) for job in waiting} == {"running"}
    world.db.dispose()


def lone(ctx: Any, o: Any) -> str:
    return "done"


def without_its_definition(world: World, job: str, minutes: int) -> None:
    """Workers of another version meet it again and again."""
    known, world.registry = world.registry, Registry()
    leases.register_worker(
        world.db,
        "other",
        WorkerProcess(host="here", pid=1, lanes=["a", "b"], digests=["another"], concurrency=1),
    )
    for _ in range(minutes):
        world.drain()
        world.let_pass(60)
        world.sweep()
    world.registry = known


def test_given_a_job_whose_definition_nobody_has_and_a_saga_that_gives_up_then_its_time_runs_all_the_same(
    hasty: World,
) -> None:
    job = hasty.submit()
    without_its_definition(hasty, job, 14)
    assert hasty.state(job) == "running"
    without_its_definition(hasty, job, 3)
    assert hasty.state(job) == "failed"
    assert hasty.operation(job, "first").attempts == 0
    assert [letter.why for letter in hasty.letters(job)] == ["queue_timeout"]


def test_given_a_job_whose_definition_nobody_has_then_it_waits_and_that_is_told_until_somebody_has_it(
    world: World,
) -> None:
    job = world.submit()
    without_its_definition(world, job, 60)
    assert (world.state(job), world.letters(job)) == ("running", [])
    assert world.operation(job, "first").claim_deadline_at is None
    assert "is not given up" in why(world.db, job, None)["sentence"]
    assert world.land(job) == "completed"
    assert "attempt_failed" not in world.events(job)
