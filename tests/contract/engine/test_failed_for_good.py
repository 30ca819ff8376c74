"""`Failed`: the step may have had its effect and will not be tried again. The job turns, and this step is undone too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import Failed, NothingSent, Rejected
from surefoot.app.saga.policies import Retry
from tests.support.world import Participant, Thing, World, after_effect


class Held(BaseModel):
    room: int


class NoRoomLeft(RuntimeError):
    pass


class FullyBooked(NoRoomLeft):
    pass


def trip(service: Participant, given: list[Any], settle: Any) -> Saga[Any]:
    """first -> book (may fail for good) -> pay (pivot) -> tell. `given`: what the undo of book got."""
    saga = Saga("trip", version=1, input=Thing)

    @saga.step(lane="a")
    def first(ctx, o) -> str:
        return service.act(ctx)

    @first.compensate(fidelity="exact")
    def undo_first(ctx, o):
        service.act(ctx)

    @saga.step(lane="a", fatal=[NoRoomLeft], on_unknown_undo=settle, retry=Retry(limit=5))
    def book(ctx, o) -> Held:
        service.act(ctx)
        return Held(room=7)

    @book.compensate(fidelity="exact", retry=Retry(limit=2))
    def undo_book(ctx, o, held: Held | None):
        given.append(held)
        service.act(ctx)

    @saga.step(lane="a", pivot=True)
    def pay(ctx, o) -> str:
        return service.act(ctx)

    @saga.step(lane="a")
    def tell(ctx, o) -> str:
        return service.act(ctx)

    return saga


@pytest.fixture
def given() -> list[Any]:
    return []


@pytest.fixture
def world(
    ready_url: str, service: Participant, given: list[Any], request: pytest.FixtureRequest
) -> Iterator[World]:
    world = World(ready_url, [trip(service, given, getattr(request, "param", "undo"))], service)
    try:
        yield world
        assert world.broken() == {}
    finally:
        world.db.dispose()


def planned(world: World, step: str, *said: Any, kind: str = "action") -> str:
    world.service.script[step, kind] = list(said)
    return world.submit()


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (Failed("no room"), None),
        (Failed("no room", result=Held(room=3)), Held(room=3)),
        (Failed("no room", result="not a room"), None),
        (FullyBooked("no room"), None),
    ],
    ids=["said", "with-result", "unfit-result", "fatal"],
)
def test_given_a_step_that_failed_for_good_when_it_had_its_effect_then_not_tried_again_and_undone(
    world: World, given: list[Any], said: Exception, known: Any
) -> None:
    job_id = planned(world, "book", after_effect(said))
    assert world.land(job_id) == "failed"
    row, job = world.operation(job_id, "book"), world.job(job_id)
    assert (row.state, row.attempts, row.unknown_outcomes, row.error["type"]) == (
        "failed",
        1,
        1,
        type(said).__name__,
    )
    assert row.error["for_good"]
    assert world.service.calls["book", "action"] == 1
    assert world.service.steps("undo") == ["book", "first"]
    assert given == [known]
    assert (job.cause, job.error["step"]) == ("failed", "book")
    assert world.letters(job_id) == []


@pytest.mark.parametrize("world", ["replay"], indirect=True)
def test_given_a_step_whose_unknown_outcome_is_replayed_when_it_failed_for_good_then_it_is_not_run_again(
    world: World, given: list[Any]
) -> None:
    job_id = planned(world, "book", after_effect(Failed("no room")))
    assert world.land(job_id) == "failed"
    assert world.service.calls["book", "action"] == 1
    assert (world.service.steps("undo"), given) == (["book", "first"], [None])


def test_given_a_step_that_failed_for_good_before_any_effect_then_its_undo_finds_nothing(
    world: World,
) -> None:
    job_id = planned(world, "book", Failed("no room"))
    assert world.land(job_id) == "failed"
    assert world.service.steps("undo") == ["first"]
    assert world.operation(job_id, "book", "undo").state == "completed"


def test_given_an_earlier_attempt_of_unknown_outcome_when_the_next_failed_for_good_then_undone(
    world: World,
) -> None:
    job_id = planned(world, "book", after_effect(TimeoutError()), after_effect(Failed("no room")))
    assert world.land(job_id) == "failed"
    assert (world.service.calls["book", "action"], world.service.steps("undo")) == (
        2,
        ["book", "first"],
    )


def test_given_a_job_that_turned_meanwhile_when_the_step_fails_for_good_then_its_undo_gets_what_is_known(
    world: World, given: list[Any]
) -> None:
    def cancelled_meanwhile(ctx: Context) -> Any:
        world.cancel(ctx.job_id)
        raise Failed("no room", result=Held(room=4))

    job_id = planned(world, "book", cancelled_meanwhile)
    assert world.land(job_id) == "cancelled"
    assert (world.operation(job_id, "book").state, given) == ("abandoned", [Held(room=4)])


@pytest.mark.parametrize(
    ("step", "kind"), [("pay", "action"), ("tell", "action"), ("first", "undo")]
)
def test_given_no_way_back_when_it_failed_for_good_then_a_person_is_asked_at_once(
    world: World, step: str, kind: str
) -> None:
    if kind == "undo":
        world.service.script["pay", "action"] = [Rejected("no")]
    job_id = planned(world, step, after_effect(Failed("for good")), kind=kind)
    assert world.land(job_id) == "attention"
    (letter,) = world.letters(job_id)
    assert (letter.why, letter.attempts, letter.blocking) == ("failed", 1, True)


def test_given_an_undo_that_raises_what_is_fatal_for_its_action_then_it_is_tried_again(
    world: World,
) -> None:
    world.service.script["pay", "action"] = [Rejected("no")]
    job_id = planned(world, "book", NoRoomLeft("of the undo"), kind="undo")
    assert world.land(job_id) == "failed"
    assert world.operation(job_id, "book", "undo").attempts == 2


@pytest.mark.parametrize("said", [NothingSent("no connection"), RuntimeError("broke")])
def test_given_what_is_not_for_good_when_raised_then_it_is_tried_again(
    world: World, said: Exception
) -> None:
    job_id = planned(world, "book", said)
    assert world.land(job_id) == "completed"
    assert world.operation(job_id, "book").attempts == 2
