"""How long an operation is tried: time bounds a service that is away, attempts bound what is known to be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.engine.operators import decisions
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NothingSent, NotYet, Rejected
from surefoot.app.saga.policies import Retry
from tests.support.world import Participant, Thing, World

AWAY = ConnectionError("connection refused")


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    saga = Saga("pay", version=1, input=Thing, sla="10m")

    def act(ctx: Any, o: Any) -> Any:
        return service.act(ctx)

    def step(name: str, undo: bool = True, **more: Any) -> None:
        def fn(ctx: Any, o: Any) -> Any:
            return act(ctx, o)

        fn.__name__ = fn.__qualname__ = name
        fn.__annotations__["return"] = Any
        made = saga.step(lane="a", **more)(fn)
        if undo:

            def back(ctx: Any, o: Any) -> Any:
                return act(ctx, o)

            back.__name__ = back.__qualname__ = f"undo_{name}"
            made.compensate("exact")(back)

    step("charge")
    step("five", retry=Retry(limit=5))
    step("brisk", retry=Retry(for_="1m"))
    step("commit", undo=False, pivot=True)
    step("ship", undo=False)
    made = World(ready_url, [saga], service)
    yield made
    made.db.dispose()


def away(world: World, job: str, seconds: float, step_s: float = 30.0) -> None:
    """So much time passes, with workers and relay at work."""
    for _ in range(int(seconds / step_s)):
        world.drain()
        world.let_pass(step_s)
        world.sweep()
    world.drain()


@pytest.mark.parametrize("away_s", [30, 60, 240])
def test_given_a_service_that_is_away_for_a_while_then_the_job_waits_for_it_and_completes(
    world: World, service: Participant, away_s: int
) -> None:
    service.script["charge", "action"] = [AWAY] * away_s  # every time that it is asked
    job = world.submit()
    away(world, job, away_s, step_s=5.0)
    assert world.operation(job, "charge").attempts >= 3
    service.script.clear()
    assert world.land(job) == "completed"
    assert not world.broken()


def test_given_a_service_that_stays_away_then_the_action_is_given_up_when_its_job_is_late_and_all_is_undone(
    world: World, service: Participant
) -> None:
    service.script["charge", "action"] = [AWAY] * 1000
    job = world.submit()
    away(world, job, 570)
    assert world.state(job) == "running"
    away(world, job, 120)
    assert world.land(job) == "failed"
    assert [(letter.why, letter.step) for letter in world.letters(job)] == [("exhausted", "charge")]


def test_given_a_limit_that_the_saga_says_then_so_many_attempts(
    world: World, service: Participant
) -> None:
    service.script["five", "action"] = [AWAY] * 1000
    job = world.submit()
    assert world.land(job) == "failed"
    assert world.operation(job, "five").attempts == 5


def test_given_attempts_that_sent_nothing_then_a_limit_of_attempts_does_not_count_them_while_there_is_time(
    world: World, service: Participant
) -> None:
    service.script["five", "action"] = [NothingSent("refused")] * 1000
    job = world.submit()
    away(world, job, 300)
    row = world.operation(job, "five")
    assert (
        row.state in ("waiting", "queued")
        and row.attempts > 5
        and row.max_attempts - row.attempts == 5
    )
    away(world, job, 400)
    assert world.land(job) == "failed"


def test_given_a_time_that_the_saga_says_then_it_is_given_up_after_it(
    world: World, service: Participant
) -> None:
    service.script["brisk", "action"] = [AWAY] * 1000
    job = world.submit()
    away(world, job, 45, step_s=5.0)
    assert world.state(job) == "running"
    away(world, job, 150)
    assert world.land(job) == "failed"


def test_given_a_mistake_of_the_code_then_attempts_bound_it(
    world: World, service: Participant
) -> None:
    service.script["charge", "action"] = [TypeError("unsupported operand")] * 1000
    job = world.submit()
    assert world.land(job) == "failed"
    assert world.operation(job, "charge").attempts == 5


def test_given_an_undo_whose_service_stays_away_then_it_is_tried_for_twice_as_long_as_its_action_and_a_person_is_asked(
    world: World, service: Participant
) -> None:
    service.script["five", "action"] = [Rejected("no")]
    service.script["charge", "undo"] = [AWAY] * 1000
    job = world.submit()
    away(world, job, 1150)
    assert (world.state(job), world.letters(job)) == ("compensating", [])
    away(world, job, 120)
    assert world.state(job) == "attention"
    service.script.clear()
    world.rung(decisions.retry(world.db, world.letters(job)[0].id, "anna", "it is back"))
    assert world.land(job) == "failed"


def test_given_workers_away_between_two_failures_then_that_time_gives_nothing_up_by_itself(
    world: World, service: Participant
) -> None:
    service.script["charge", "action"] = [AWAY, AWAY]
    job = world.submit()
    world.drain()
    world.let_pass(7200)
    world.sweep()
    world.drain()
    assert world.state(job) == "running"
    assert world.land(job) == "completed"


def test_given_a_step_that_polls_for_long_then_a_failure_has_its_whole_time(
    world: World, service: Participant
) -> None:
    service.script["charge", "action"] = [AWAY, *[NotYet(60)] * 30, *[AWAY] * 7]
    job = world.submit()
    away(world, job, 1980)
    assert world.land(job, pass_s=31) == "completed"


def test_given_a_persons_retry_then_its_time_and_its_wait_for_a_worker_begin_anew(
    world: World, service: Participant
) -> None:
    service.script["ship", "action"] = [AWAY] * 1000
    job = world.submit()
    away(world, job, 1400)
    assert world.state(job) == "attention"
    world.rung(decisions.retry(world.db, world.letters(job)[0].id, "anna", "it is back"))
    row = world.operation(job, "ship")
    assert (row.failing_since, row.failures) == (None, 0)
    assert row.claim_deadline_at > row.ready_at
    away(world, job, 900)
    assert world.state(job) == "running"
    service.script.clear()
    assert world.land(job) == "completed"
