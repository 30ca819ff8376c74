"""Confirmations: once there is one there is no way back, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from surefoot.app.engine.operators import decisions
from surefoot.app.errors import Conflict
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NothingSent, Rejected
from surefoot.app.saga.policies import Retry
from tests.support.world import LEASE_S, Participant, Thing, World, after_effect

HOUR_S = 3600.0
TRIES = 2


def held(service: Participant) -> Saga[Any]:
    """a -> b, each held first, and confirmed when both are. There is no pivot."""
    saga = Saga("held", version=1, input=Thing, sla="1h", on_sla="compensate")

    def action(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    def other(ctx: Any, o: Any) -> None:
        service.act(ctx)

    for name in ("a", "b"):
        step = saga.step(lane=name, queue_timeout="10h")(_named(action, name))
        step.compensate(fidelity="exact")(_named(other, f"release_{name}"))
        step.confirm(retry=Retry(limit=TRIES), queue_timeout="10h")(
            _named(other, f"confirm_{name}")
        )
    return saga


def _named(fn: Callable[..., Any], name: str) -> Callable[..., Any]:
    def copy(ctx: Any, o: Any) -> Any:
        return fn(ctx, o)

    copy.__name__ = copy.__qualname__ = name
    return copy


@pytest.fixture
def service() -> Participant:
    return Participant()


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    world = World(ready_url, [held(service)], service)
    try:
        yield world
        assert world.broken(bound_s=30 * HOUR_S) == {}
    finally:
        world.db.dispose()


def about_to_confirm(world: World, **more: Any) -> str:
    """A job whose actions are done and whose confirmations lie in their queues."""
    job = world.submit(**more)
    for _ in range(2):
        world.deliver(world.next())
    assert {
        name: state for name, state in world.operations(job).items() if name.endswith("confirm")
    } == {
        "a.confirm": "queued",
        "b.confirm": "queued",
    }
    return job


def lands_confirmed(world: World, service: Participant, job: str) -> None:
    assert world.land(job) == "completed"
    assert sorted(service.order) == [
        ("a", "action"),
        ("a", "confirm"),
        ("b", "action"),
        ("b", "confirm"),
    ]


def test_given_queued_confirmations_when_cancelled_then_it_is_too_late_and_the_job_completes(
    world: World, service: Participant
) -> None:
    job = about_to_confirm(world)
    decision = world.cancel(job)
    assert (
        not decision.applied
        and decision.message == "Too late to cancel: every step is done and is being confirmed."
    )
    assert world.job(job).cancel_requested
    lands_confirmed(world, service, job)


def test_given_a_confirmation_that_waits_for_its_next_try_when_cancelled_then_it_is_too_late(
    world: World, service: Participant
) -> None:
    service.script["a", "confirm"] = [NothingSent("no connection")]
    job = about_to_confirm(world)
    world.drain()
    assert (
        world.operation(job, "a", "confirm").state == "waiting"
        and world.operation(job, "a", "confirm").unknown_outcomes == 0
    )
    assert not world.cancel(job).applied
    lands_confirmed(world, service, job)


def test_given_queued_confirmations_when_the_deadline_passes_then_the_job_is_late_and_completes(
    world: World, service: Participant
) -> None:
    job = about_to_confirm(world, deadline_s=600)
    world.let_pass(601)
    world.sweep()
    assert (world.job(job).deadline_missed, world.job(job).direction) == (True, "forward")
    lands_confirmed(world, service, job)


def test_given_queued_confirmations_when_the_job_is_late_by_its_sla_then_a_person_is_asked_and_nothing_is_undone(
    world: World, service: Participant
) -> None:
    job = about_to_confirm(world)
    world.let_pass(HOUR_S + 1)
    world.sweep()
    assert (
        world.state(job),
        world.job(job).direction,
        [letter.why for letter in world.letters(job)],
    ) == ("attention", "forward", ["late"])
    world.rung(decisions.retry(world.db, world.letters(job)[0].id, "anna", "seen"))
    lands_confirmed(world, service, job)


def test_given_confirmations_that_are_lost_then_they_are_rung_again(
    world: World, service: Participant
) -> None:
    job = about_to_confirm(world)
    world.broker.flush()
    lands_confirmed(world, service, job)


def test_given_a_confirmation_whose_answer_is_lost_then_it_is_asked_for_again_and_confirms_once(
    world: World, service: Participant
) -> None:
    service.script["a", "confirm"] = [after_effect(TimeoutError("no answer"))]
    job = about_to_confirm(world)
    world.drain()
    world.let_pass(LEASE_S + 1)
    assert not world.cancel(job).applied
    lands_confirmed(world, service, job)
    assert service.calls["a", "confirm"] == 2


def given_up(world: World, service: Participant) -> str:
    """A job one of whose confirmations is out of attempts."""
    service.script["a", "confirm"] = [after_effect(TimeoutError("no answer"))] * TRIES
    job = about_to_confirm(world)
    assert world.land(job) == "attention"
    (letter,) = world.letters(job)
    assert (letter.step, letter.kind, letter.why) == ("a", "confirm", "exhausted")
    return job


def test_given_a_confirmation_that_is_given_up_when_cancelled_or_marked_absent_then_it_is_too_late(
    world: World, service: Participant
) -> None:
    job = given_up(world, service)
    assert not world.cancel(job).applied
    with pytest.raises(Conflict, match="only an action"):
        decisions.mark_absent(
            world.db, world.settings, world.letters(job)[0].id, "anna", "not there"
        )
    world.rung(decisions.retry(world.db, world.letters(job)[0].id, "anna", "seen"))
    lands_confirmed(world, service, job)


@pytest.mark.parametrize("decision", [decisions.waive, decisions.mark_done])
def test_given_a_confirmation_that_is_given_up_when_waived_or_done_by_hand_then_the_job_completes(
    world: World, service: Participant, decision: Callable[..., Any]
) -> None:
    service.script["a", "confirm"] = [Rejected("the hold is gone")]
    job = about_to_confirm(world)
    assert world.land(job) == "attention"
    world.rung(decision(world.db, world.letters(job)[0].id, "anna", "agreed"))
    assert world.land(job) == "completed"
    assert service.steps("undo") == [] and service.steps("confirm") == ["b"]


def test_given_a_confirmation_that_nobody_comes_for_then_a_person_is_asked_and_nothing_is_undone(
    world: World, service: Participant
) -> None:
    job = about_to_confirm(world)
    world.broker.flush()
    world.broker.set_marker("kept")
    world.let_pass(11 * HOUR_S)
    world.sweep()
    assert world.state(job) == "attention" and service.steps("undo") == []
    assert "queue_timeout" in {letter.why for letter in world.letters(job)}
    assert not world.cancel(job).applied
