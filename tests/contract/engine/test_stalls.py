"""An attempt without a sign of progress is ended, and that is a failure of its own kind; an operation nobody came for too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.engine.jobs import claiming
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.handle import StepHandle
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.policies import Retry
from surefoot.app.store.claims import Holder
from surefoot.app.store.ids import operation_id
from surefoot.app.store.views import history_view, job_view
from tests.support.world import BOOT, Participant, Thing, World


def slow(service: Participant) -> Saga[Any]:
    saga = Saga("slow", version=1, input=Thing)

    @saga.step(lane="a", timeout="1h", heartbeat_timeout="60s", retry=Retry(limit=2))
    def crunch(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @crunch.compensate(fidelity="exact")
    def discard(ctx: Any, o: Any, made: Any) -> None:
        service.act(ctx)

    @saga.step(lane="a", pivot=True)
    def publish(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    return saga


@pytest.fixture
def world(ready_url: str) -> Iterator[World]:
    service = Participant()
    made = World(ready_url, [slow(service)], service)
    yield made
    assert made.broken() == {}
    made.db.dispose()


def claim(world: World, job: str) -> Attempt:
    limits = world.registry.all()[0].graph.by_name["crunch"].limits
    held = claiming.claim(
        world.db,
        claiming.claim_request(
            world.settings,
            operation_id(job, "crunch", "", "action"),
            limits,
            Holder(worker_id=BOOT, pid=7),
        ),
    )
    assert held is not None
    return held


def beat(world: World, held: Attempt) -> leases.HeartbeatResult:
    return leases.renew_leases(world.db, world.settings, BOOT, [held.operation_id])


def killed(world: World, held: Attempt) -> bool:
    return leases.report_child_lost(
        world.db,
        world.settings,
        world.broker,
        Holder(worker_id=BOOT, pid=7, message=held.operation_id),
        "its process was lost",
    )


@pytest.mark.parametrize("sign", ["progress", "checkpoint", "check"])
def test_given_signs_of_progress_then_the_lease_lives_and_without_them_the_child_must_end(
    world: World, sign: str
) -> None:
    held = claim(world, world.submit())
    port = StepHandle(world.db, world.settings, held)
    for _ in range(3):
        world.let_pass(50)
        {
            "progress": lambda: port.progress(1.0, "page 4"),
            "checkpoint": lambda: port.checkpoint(4),
            "check": port.check,
        }[sign]()
        port._last_sign -= 60  # what the database thinks has passed
        assert beat(world, held).renewed == 1
    world.let_pass(61)
    assert beat(world, held).overdue == ((held.operation_id, 7, "no heartbeat"),)
    assert killed(world, held)
    assert world.land(held.job_id) == "completed"


def test_given_attempts_that_stall_when_out_of_them_then_history_letter_error_and_why_say_stalled(
    world: World,
) -> None:
    job = world.submit()
    held = claim(world, job)
    assert "unless it sends a heartbeat by" in why(world.db, job, None)["sentence"]
    world.let_pass(61)
    assert killed(world, held)
    assert world.operation(job, "crunch").state == "queued"
    world.broker.waiting.clear()
    world.let_pass(3)
    held = claim(world, job)
    world.let_pass(61)
    assert killed(world, held)
    assert world.land(job) == "failed"
    events = [
        (event["event"], (event["detail"] or {}).get("why"))
        for event in history_view(world.db, job, None)["items"]
    ]
    assert ("stalled", None) in events
    assert ("failed", "stalled") in events
    (letter,) = world.letters(job)
    assert (letter.why, letter.blocking, letter.error["type"]) == ("stalled", False, "Stalled")
    assert job_view(world.db, job, None)["error"]["type"] == "Stalled"
    assert "no heartbeat for 60 s" in why(world.db, job, None)["sentence"]
    assert (
        world.service.done == {f"{job}:crunch::action": "tombstone", f"{job}:crunch::undo": "done"}
        or world.service.steps("undo") == []
    )


def test_given_child_killed_for_another_reason_then_it_did_not_stall(world: World) -> None:
    job = world.submit()
    held = claim(world, job)
    world.let_pass(10)
    assert killed(world, held)
    assert "attempt_lost crunch" in world.events(job)
    assert world.land(job) == "completed"


def test_given_step_past_its_hard_limit_then_that_is_said_and_not_that_it_stalled(
    world: World,
) -> None:
    held = claim(world, world.submit())
    world.let_pass(3700)
    assert beat(world, held).overdue == ((held.operation_id, 7, "past its hard limit"),)
    world.sweep()
    assert world.land(held.job_id) == "completed"
