"""Every window of an attempt can be hit, and from each the job lands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from surefoot.app import faults
from surefoot.app.config import Settings
from surefoot.app.faults import (
    Crashed,
    Fault,
    Injected,
    Injector,
    Point,
    What,
    injecting,
    parse_faults,
)
from surefoot.app.store import faults as fault_store
from surefoot.app.store.session import reading
from surefoot.app.store.tables import faults_fired
from tests.support.world import Participant, World

OF_THE_ENGINE = [point for point in Point if point != Point.BEFORE_ACK]  # that one is Celery's


class InWorld(Injector):
    """A crash unwinds to the world's loop, which lets the lease run out."""

    def crash(self) -> None:
        raise Crashed


def deliver_until_done(world: World, job: str) -> str:
    """As `world.land`, with workers that crash: their messages are gone."""
    for _ in range(80):
        while world.broker.waiting:
            try:
                world.deliver(world.broker.waiting.pop(0))
            except (Crashed, Injected):
                continue
        if world.state(job) in ("completed", "failed", "cancelled", "attention"):
            return world.state(job)
        world.let_pass(61)
        world.sweep()
    raise AssertionError(f"not landed: {world.operations(job)}")


def fired(world: World) -> dict[str, int]:
    with reading(world.db) as connection:
        return {row.fault: row.times for row in connection.execute(select(faults_fired))}


def armed(world: World, text: str) -> InWorld:
    return InWorld(parse_faults(text), lambda key, times: fault_store.due(world.db, key, times))


@pytest.mark.parametrize("runs_on", [False, True], ids=["by messages", "run on"])
@pytest.mark.parametrize("point", OF_THE_ENGINE)
def test_given_a_crash_at_a_point_of_every_step_then_the_job_completes_and_each_effect_is_there_once(
    world: World, service: Participant, point: Point, runs_on: bool
) -> None:
    world.runs_on = runs_on
    steps = ["first", "left", "right", "commit", "after", "last"]
    with injecting(armed(world, ";".join(f"diamond.{step}:crash@{point}" for step in steps))):
        job = world.submit()
        assert deliver_until_done(world, job) == "completed"
    assert fired(world) == {f"diamond.{step}:crash@{point}": 1 for step in steps}
    assert sorted(service.steps()) == sorted(steps)
    attempts = {step: world.operation(job, step).attempts for step in steps}
    counted = {Point.AFTER_CLAIM, Point.BEFORE_EFFECT, Point.AFTER_EFFECT}
    if not runs_on:
        assert attempts == dict.fromkeys(steps, 2 if point in counted else 1)


@pytest.mark.parametrize("point", OF_THE_ENGINE)
def test_given_a_crash_at_a_point_of_every_undo_then_the_job_is_undone_once_in_reverse(
    world: World, service: Participant, point: Point
) -> None:
    undos = ["first", "left", "right"]
    plan = "diamond.commit:reject@before_effect;" + ";".join(
        f"diamond.{step}.undo:crash@{point}" for step in undos
    )
    with injecting(armed(world, plan)):
        job = world.submit()
        assert deliver_until_done(world, job) == "failed"
    assert len(fired(world)) == 4
    assert sorted(service.steps("undo")) == undos
    assert service.steps("undo")[-1] == "first"


@pytest.mark.parametrize(
    "point", [p for p in OF_THE_ENGINE if p not in (Point.BEFORE_EFFECT, Point.AFTER_EFFECT)]
)
def test_given_an_error_of_the_store_at_a_point_then_the_job_completes(
    world: World, service: Participant, point: Point
) -> None:
    with injecting(armed(world, f"diamond.left:error@{point};diamond.last:error@{point}")):
        job = world.submit()
        assert deliver_until_done(world, job) == "completed"
    assert len(fired(world)) == 2
    assert len(service.order) == 6


def test_given_an_error_after_the_effect_then_the_outcome_is_unknown_and_the_next_attempt_settles_it(
    world: World, service: Participant
) -> None:
    with injecting(armed(world, "diamond.left:error@after_effect")):
        job = world.submit()
        for task in ("diamond.first", "diamond.left"):
            world.deliver(world.next(task))
        row = world.operation(job, "left")
        assert (row.state, row.unknown_outcomes, row.error["type"]) == ("waiting", 1, "Injected")
        assert deliver_until_done(world, job) == "completed"
    assert world.operation(job, "left").unknown_outcomes == 0
    assert service.steps().count("left") == 1


def test_given_firings_when_counted_by_many_at_once_then_no_more_than_times_are_due(
    world: World,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        due = list(
            pool.map(
                lambda _: fault_store.due(world.db, "diamond.left:crash@after_claim", 3), range(24)
            )
        )
    assert sum(due) == 3
    assert fired(world) == {"diamond.left:crash@after_claim": 3}
    assert fault_store.due(
        world.db, "diamond.left:crash@after_claim", 4
    )  # who raises TIMES goes on from there


def test_given_settings_with_faults_then_this_process_is_armed_and_without_them_it_is_not(
    world: World,
) -> None:
    with injecting(None):
        fault_store.arm(Settings(env="test"), lambda: world.db)
        assert faults.active is None
        fault_store.arm(
            Settings(env="test", faults="diamond.left:error@after_claim"), lambda: world.db
        )
        with pytest.raises(Injected):
            faults.reached(Point.AFTER_CLAIM, "diamond", "left")
        faults.reached(Point.AFTER_CLAIM, "diamond", "left")
    assert fired(world) == {Fault("diamond.left", What.ERROR, Point.AFTER_CLAIM).key: 1}
