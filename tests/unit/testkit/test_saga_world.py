"""The public test kit, as a saga author uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from surefoot import Context, NotYet, Retry, Saga
from surefoot.app.errors import InvalidInput
from surefoot.testing import NotAtRest, SagaWorld, UnknownName, saga_world

CALLS: list[str] = []


class Trip(BaseModel):
    days: int


trip = Saga("trip", version=1, input=Trip)


@trip.step(lane="air", retry=Retry(limit=3))
def book_flight(ctx: Context, o: Trip) -> str:
    CALLS.append(f"book_flight at {ctx.now():%H:%M}")
    return "F-1"


@book_flight.compensate(fidelity="exact", retry=Retry(limit=2))
def cancel_flight(ctx: Context, o: Trip, booked: str | None) -> None:
    CALLS.append(f"cancel_flight {booked}")


@trip.step(lane="hotels", retry=Retry(limit=3))
def book_hotel(ctx: Context, o: Trip, flight: str) -> str | NotYet:
    if o.days > 30 and ctx.now().hour < 2:
        return NotYet("30m")
    return "H-1"


@book_hotel.compensate(fidelity="exact")
def cancel_hotel(ctx: Context, o: Trip, booked: str | None) -> None:
    CALLS.append(f"cancel_hotel {booked}")


@trip.step(lane="air", pivot=True, undo=None)
def pay(ctx: Context, o: Trip, hotel: str) -> str:
    return "paid"


endless = Saga("endless", version=1, input=Trip)


@endless.step(lane="air", undo=None)
def wait(ctx: Context, o: Trip) -> NotYet:
    return NotYet("1h")


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_given_a_step_that_is_refused_when_landed_then_what_was_before_it_is_undone() -> None:
    with saga_world(trip) as world:
        job = world.submit(Trip(days=3))
        world.fail("book_hotel")
        world.pass_time("1h")
        world.land()
        assert (world.state(job), world.undone(job)) == ("failed", ["book_flight"])
        assert "refused (book_hotel)" in world.why(job)
    assert CALLS == ["book_flight at 00:00", "cancel_flight F-1"]


def test_given_nothing_that_fails_when_landed_then_done_in_order_with_results() -> None:
    with saga_world(trip) as world:
        job = world.submit({"days": 3})
        assert (world.state(job), world.done(job)) == ("running", [])
        world.land()
        assert world.state(job) == "completed"
        assert world.done(job) == ["book_flight", "book_hotel", "pay"]
        assert (world.result(job, pay), world.attempts(job, pay)) == ("paid", 1)


@pytest.mark.parametrize(
    ("goes_wrong", "state", "undone", "attempts"),
    [
        (lambda w: w.fail(book_hotel, OSError("away"), times=2), "completed", [], 3),
        (lambda w: w.fail(book_hotel, OSError("away"), times=None), "failed", ["book_hotel", "book_flight"], 3),
        (lambda w: w.fail(book_hotel, after=True), "completed", [], 2),
        (lambda w: w.crash(book_hotel), "completed", [], 2),
        (lambda w: w.crash(book_hotel, after=False, times=2), "completed", [], 3),
    ],
    ids=["twice", "always", "answer lost", "crash after", "two crashes before"],
)  # fmt: skip
def test_given_what_goes_wrong_at_a_step_when_landed_then_tried_again_or_undone(
    goes_wrong: Callable[[SagaWorld], None], state: str, undone: list[str], attempts: int
) -> None:
    with saga_world(trip) as world:
        job = world.submit(Trip(days=3))
        goes_wrong(world)
        world.land()
        assert (world.state(job), world.undone(job)) == (state, undone), world.why(job)
        assert world.attempts(job, book_hotel) == attempts


def test_given_an_undo_that_fails_when_landed_then_a_person_is_asked() -> None:
    with saga_world(trip) as world:
        job = world.submit(Trip(days=3))
        world.fail(pay)
        world.fail(book_flight, OSError("away"), kind="undo", times=None)
        world.land()
        assert (world.state(job), world.undone(job)) == ("attention", ["book_hotel"])
        assert world.attempts(job, book_flight, kind="undo") == 2


def test_given_a_step_that_waits_when_time_passes_then_it_goes_on_at_its_time() -> None:
    with saga_world(trip) as world:
        job = world.submit(Trip(days=31))
        world.pass_time("1h")
        assert (world.state(job), world.done(job)) == ("running", ["book_flight"])
        assert f"{world.now:%H:%M}" == "01:00"
        world.pass_time("90m")
        assert world.state(job) == "completed"


def test_given_a_cancel_when_landed_then_undone() -> None:
    with saga_world(trip) as world:
        job = world.submit(Trip(days=31))
        world.pass_time("1m")
        world.cancel(job)
        world.land()
        assert (world.state(job), world.undone(job)) == ("cancelled", ["book_hotel", "book_flight"])


def test_given_a_job_that_waits_for_ever_when_landed_then_it_says_what_for() -> None:
    with saga_world(trip, endless) as world:
        world.submit(Trip(days=1), saga="endless")
        with pytest.raises(NotAtRest, match="endless: Wait is not done yet"):
            world.land(within="5h")


def test_given_two_worlds_when_used_then_neither_sees_the_other() -> None:
    jobs = []
    for _ in range(2):
        with saga_world(trip) as world:
            jobs.append(world.submit(Trip(days=3)))
            world.land()
            assert world.state(jobs[-1]) == "completed"
    with saga_world(trip) as world, pytest.raises(UnknownName, match="has no job"):
        world.state(jobs[0])


MISTAKES: list[tuple[Callable[[SagaWorld], Any], str]] = [
    (lambda w: w.fail("book_hotle"), r"Saga trip has no step 'book_hotle'\. Did you mean 'book_hotel'\?"),
    (lambda w: w.crash("pay", kind="undo"), r"Step trip\.pay has no 'undo'\. It has action\."),
    (lambda w: w.submit({"days": 1}, saga="tripp"), r"no saga 'tripp'\. Did you mean 'trip'\?"),
    (lambda w: w.why("job-1"), "This world has no job 'job-1'"),
]  # fmt: skip


@pytest.mark.parametrize(("slip", "sentence"), MISTAKES)
def test_given_a_name_that_is_not_there_when_used_then_one_clear_sentence(
    slip: Callable[[SagaWorld], Any], sentence: str
) -> None:
    with saga_world(trip) as world, pytest.raises(UnknownName, match=sentence):
        slip(world)


def test_given_an_input_that_does_not_fit_when_submitted_then_the_fault_is_named() -> None:
    with saga_world(trip) as world, pytest.raises(InvalidInput) as caught:
        world.submit({"days": "many"})
    assert any("days" in note for note in caught.value.__notes__)


def test_given_a_fault_that_was_never_met_when_asked_then_it_is_named() -> None:
    with saga_world(trip) as world:
        world.submit(Trip(days=3))
        world.fail(book_flight, OSError("away"), times=2)
        world.crash(book_hotel, kind="undo")
        world.land()
        assert world.unmet() == ["trip.book_hotel.undo"]


def test_given_no_saga_when_a_world_is_made_then_refused() -> None:
    with pytest.raises(ValueError, match="at least one saga"):
        saga_world()
