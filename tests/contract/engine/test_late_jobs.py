"""Jobs that take longer than their saga allows: what is done about each, once in each period."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from surefoot.app.engine.operators import sla
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import RetryLater
from surefoot.app.saga.policies import Retry
from surefoot.app.store.session import reading
from surefoot.app.store.tables import reconciliations
from tests.support.world import Participant, Thing, World

HOUR = 3600.0


def saga_of(name: str, service: Participant, **more: Any) -> Saga[Any]:
    """take -> seal (pivot) -> tell: one attempt each, so that a failure stands at once."""
    saga = Saga(name, version=1, input=Thing, **more)

    @saga.step(lane="a", retry=Retry(limit=3), queue_timeout="7d")
    def take(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @take.compensate(fidelity="exact", retry=Retry(limit=1))
    def give_back(ctx: Any, o: Any) -> None:
        service.act(ctx)

    @saga.step(lane="b", pivot=True, queue_timeout="7d")
    def seal(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(lane="b", retry=Retry(limit=1), queue_timeout="7d")
    def tell(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    return saga


@pytest.fixture
def service() -> Participant:
    return Participant()


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    sagas = [
        saga_of(policy, service, sla="1h", on_sla=policy)
        for policy in ("ask", "redrive", "compensate")
    ]
    world = World(ready_url, sagas, service)
    try:
        yield world
        assert world.broken(bound_s=30 * 24 * HOUR) == {}
    finally:
        world.db.dispose()


def findings(world: World, *, only_open: bool = True) -> list[Any]:
    r = reconciliations.c
    with reading(world.db) as c:
        rows = list(c.execute(select(reconciliations).order_by(r.id)))
    return [row for row in rows if not only_open or row.closed_at is None]


def started(world: World, saga: str, *, steps: int = 1) -> str:
    """A job of this saga, `steps` of it done; the next one's message is lost."""
    world.saga = saga
    job = world.submit()
    for _ in range(steps):
        world.deliver(world.next())
    world.broker.flush()
    world.sweep()
    world.broker.flush()
    world.broker.set_marker("kept")
    return job


def grow_late(world: World) -> None:
    world.let_pass(HOUR + 1)
    world.broker.published.clear()
    world.sweep()


def test_given_ask_when_a_job_is_late_then_it_is_on_record_once_and_nothing_else_happens(
    world: World,
) -> None:
    job = started(world, "ask")
    world.sweep()
    assert findings(world) == []

    grow_late(world)
    grow_late(world)

    (one,) = findings(world)
    assert (one.finding, one.job_id, one.action, one.key, one.actor) == (
        "late",
        job,
        "reported",
        job,
        "relay",
    )
    assert world.events(job).count("sla_missed") == 2, "once in each period"
    assert world.state(job) == "running"
    with reading(world.db) as connection:
        assert not sla.reconciliations.past_sla(connection, 10)
    assert (
        "took longer" in why(world.db, job, None)["sentence"]
        or "longer than its saga allows" in why(world.db, job, None)["sentence"]
    )


def test_given_a_late_job_when_it_ends_then_its_finding_closes_by_itself(world: World) -> None:
    job = started(world, "ask")
    grow_late(world)
    assert world.land(job) == "completed"
    world.let_pass(world.settings.reconcile_seconds + 1)
    world.sweep()
    assert findings(world) == []
    (one,) = findings(world, only_open=False)
    assert (one.closed_by, one.closed_why) == ("relay", "the job has ended")


def test_given_redrive_when_a_late_job_stands_then_what_was_given_up_has_fresh_attempts(
    world: World, service: Participant
) -> None:
    service.script["tell", "action"] = [ValueError("no")]
    world.saga = "redrive"
    job = world.submit()
    assert world.land(job) == "attention"

    grow_late(world)

    (one,) = findings(world)
    assert one.action == "redriven"
    assert world.letters(job) == []
    assert world.land(job) == "completed"


def test_given_redrive_when_a_late_job_only_waits_then_it_is_rung_again_and_a_back_off_ends(
    world: World, service: Participant
) -> None:
    waits = started(world, "redrive")
    service.script["take", "action"] = [RetryLater("12h")]
    backs_off = started(world, "redrive")
    assert world.operation(backs_off, "take").state == "waiting"

    grow_late(world)
    world.sweep()

    assert [one.action for one in findings(world)] == ["republished", "republished"]
    assert world.broker.published[world.operation(waits, "seal").id] >= 1
    assert world.operation(backs_off, "take").state == "queued"


def test_given_compensate_when_a_job_is_late_then_it_is_undone(
    world: World, service: Participant
) -> None:
    job = started(world, "compensate")
    grow_late(world)
    assert [one.action for one in findings(world)] == ["compensated"]
    assert world.land(job) == "failed"
    assert world.job(job).cause == "sla"
    assert service.steps("undo") == ["take"]
    assert "longer than its saga allows" in why(world.db, job, None)["sentence"]


def test_given_compensate_when_a_late_job_is_past_the_pivot_then_a_person_is_asked(
    world: World,
) -> None:
    job = started(world, "compensate", steps=2)
    grow_late(world)
    assert [one.action for one in findings(world)] == ["attention"]
    assert world.state(job) == "attention"
    (letter,) = world.letters(job)
    assert letter.why == "late"
    grow_late(world)
    assert [one.action for one in findings(world)] == ["reported"], "a person is asked already"
    assert len(world.letters(job)) == 1


def test_given_dry_run_when_jobs_are_late_then_they_are_named_and_nothing_changes(
    world: World,
) -> None:
    job = started(world, "compensate")
    world.let_pass(HOUR + 1)
    events = world.events(job)
    assert [(one["key"], one["action"]) for one in sla.late_jobs(world.db, 10)] == [
        (job, "compensate")
    ]
    assert findings(world) == []
    assert world.events(job) == events


def test_given_two_who_act_at_once_when_a_job_is_late_then_one_does(world: World) -> None:
    job = started(world, "ask")
    world.let_pass(HOUR + 1)
    first, _ = sla.act_on_batch(world.db, world.settings, None, "one")
    second, more = sla.act_on_batch(world.db, world.settings, None, "two")
    assert ([one["key"] for one in first], second, more) == ([job], [], False)


def test_given_more_late_jobs_than_a_batch_then_the_next_sweep_goes_on_at_once(
    ready_url: str, service: Participant
) -> None:
    world = World(ready_url, [saga_of("ask", service, sla="1h")], service, reconcile_rows=2)
    try:
        for _ in range(3):
            world.submit()
        world.let_pass(HOUR + 1)
        assert (world.sweep()["late"], world.sweep()["late"], world.sweep().get("late")) == (
            2,
            1,
            None,
        )
    finally:
        world.db.dispose()


def test_given_reconcile_seconds_of_zero_then_the_relay_leaves_late_jobs_alone(
    ready_url: str, service: Participant
) -> None:
    world = World(ready_url, [saga_of("ask", service, sla="1h")], service, reconcile_seconds=0)
    try:
        world.submit()
        grow_late(world)
        assert findings(world) == []
    finally:
        world.db.dispose()
