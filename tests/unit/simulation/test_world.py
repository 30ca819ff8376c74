"""The simulated world: jobs land in it, actors stop and die where they are told, and what is wrong is seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from surefoot.app.simulation.sagas import StepPlan, build
from surefoot.app.simulation.service import SimService
from surefoot.app.simulation.stage import Actor, Crash
from surefoot.app.simulation.store import store_of_this_process
from surefoot.app.simulation.world import World

PLANS = (
    StepPlan("first", (), "a", "undo", 3),
    StepPlan("left", ("first",), "b", "undo", 3),
    StepPlan("right", ("first",), "c", "undo", 3),
    StepPlan("turn", ("left", "right"), "a", "pivot", 3),
)


@pytest.fixture
def service() -> SimService:
    return SimService(store_of_this_process())


@pytest.fixture
def world(service: SimService) -> Iterator[World]:
    with World([build("shape", PLANS, service)], store=service.store) as made:
        yield made


def state(world: World) -> str:
    return str(world.view.jobs()[0].state)


def test_given_no_fault_then_every_step_takes_effect_once(
    world: World, service: SimService
) -> None:
    world.people.submit("shape", {})
    assert world.land()
    assert state(world) == "completed"
    assert sorted(effect.step for effect in service.book) == ["first", "left", "right", "turn"]
    assert world.objections(slack_s=30, bound_s=300) == []


@pytest.mark.parametrize(
    "point",
    [
        "operations.claim_to_work/committed",
        "effect/done",
        "operations.complete/uncommitted",
        "operations.complete/committed",
    ],
)
def test_given_a_crash_at_any_point_of_a_step_then_the_job_lands_and_the_effect_is_one(
    world: World, service: SimService, point: str
) -> None:
    crashes = []

    def once(actor: Actor, at: str) -> Crash | None:
        if actor.about == "left" and at == point and not crashes:
            crashes.append(at)
            return Crash(at)
        return None

    world.interfere(once)
    world.people.submit("shape", {})
    assert world.land()
    assert crashes == [point]
    assert state(world) == "completed"
    assert sorted(effect.step for effect in service.book) == ["first", "left", "right", "turn"]
    assert world.objections() + service.objections == []


def test_given_a_worker_frozen_through_the_whole_way_back_then_its_late_result_is_refused_and_on_record(
    world: World, service: SimService
) -> None:
    job = str(world.people.submit("shape", {}).result)
    world.fleet.deliver()
    frozen = world.fleet.deliver(points="effect/done")
    assert frozen is not None and frozen.at == "effect/done" and not frozen.done
    frozen.frozen = True
    world.people.cancel(job)
    world.fleet.workers[0].delivery = None  # its heartbeats stop with it
    assert world.land()
    assert state(world) == "cancelled"
    world.resume(frozen)
    assert frozen.done and str(frozen.result) == "dropped"
    assert service.of(job, "undo") == list(reversed(service.of(job, "action")))
    assert "late_result_refused" in [row.event for row in world.view.history(job)]
    assert world.objections() + service.objections == []


def test_given_the_answer_of_a_commit_is_lost_then_the_worker_holds_the_result_and_finds_it_on_record(
    world: World, service: SimService
) -> None:
    world.people.submit("shape", {})
    started = world.fleet.deliver(points="operations.complete/before")
    assert started is not None and started.at == "operations.complete/before"
    world.host.answer_lost_next = 1
    world.resume(started)
    assert started.at == "sleeps" and not started.done
    world.heal()
    assert str(started.result) == "completed"
    assert world.land() and state(world) == "completed"
    assert len(service.book) == 4 and world.objections() == []


def test_given_an_engine_that_moves_an_ended_job_then_the_store_objects(world: World) -> None:
    world.people.submit("shape", {})
    assert world.land()
    world.store.raw.execute("UPDATE surefoot_jobs SET rev = rev - 1")
    assert any("went back" in sentence for sentence in world.objections())
