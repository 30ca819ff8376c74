"""A person's word, and letters that need none any more: a job ends once, as it was meant, and no letter holds it in vain."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.operators import assignment, decisions
from surefoot.app.errors import Conflict
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NothingSent, Rejected
from surefoot.app.saga.policies import Retry
from surefoot.app.store.views.names import short_name
from tests.support.world import Participant, Thing, World

HOUR_S = 3600.0


def paid(service: Participant, **more: Any) -> Saga[Any]:
    """hold -> pay (pivot) -> ship, each tried once; hold and ship are confirmed."""
    saga = Saga("paid", version=1, input=Thing, sla="1h", on_sla="compensate")

    @saga.step(lane="a", retry=Retry(limit=1), queue_timeout="7d")
    def hold(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @hold.compensate(fidelity="exact", retry=Retry(limit=1), queue_timeout="7d")
    def give_back(ctx: Any, o: Any) -> None:
        service.act(ctx)

    @hold.confirm(queue_timeout="7d")
    def show(ctx: Any, o: Any) -> None:
        service.act(ctx)

    @saga.step(lane="a", pivot=True, retry=Retry(limit=2), queue_timeout="7d")
    def pay(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(lane="a", retry=Retry(limit=1), queue_timeout="7d")
    def ship(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @ship.confirm(queue_timeout="7d")
    def announce(ctx: Any, o: Any) -> None:
        service.act(ctx)

    return saga


@pytest.fixture
def service() -> Participant:
    return Participant()


@pytest.fixture
def world(ready_url: str, service: Participant) -> Iterator[World]:
    world = World(ready_url, [paid(service)], service)
    try:
        yield world
        assert world.broken(bound_s=30 * 24 * HOUR_S) == {}
    finally:
        world.db.dispose()


def asked_about(world: World, service: Participant, step: str, *said: Any) -> tuple[str, str]:
    """A job in attention about this step, and its letter."""
    service.script[step, "action"] = list(said)
    job = world.submit()
    assert world.land(job) == "attention"
    (letter,) = world.letters(job)
    return job, letter.id


def ends(world: World, job: str) -> list[str]:
    return [event for event in world.events(job) if event.startswith("job_")]


def test_given_the_last_operation_when_a_person_decides_about_it_then_the_job_ends_once(
    world: World, service: Participant
) -> None:
    service.script["hold", "undo"] = [RuntimeError("down")]
    service.script["pay", "action"] = [Rejected("no")]
    job = world.submit()
    assert world.land(job) == "attention"
    world.rung(decisions.waive(world.db, world.letters(job)[0].id, "anna", "agreed"))
    assert world.state(job) == "failed" and ends(world, job) == ["job_failed"]


@pytest.mark.parametrize("decision", [decisions.waive, decisions.mark_done])
def test_given_a_decision_about_a_step_past_the_pivot_then_what_was_done_is_confirmed_and_the_job_ends_once(
    world: World, service: Participant, decision: Callable[..., Any]
) -> None:
    job, letter = asked_about(world, service, "ship", Rejected("the parcel is lost"))
    world.rung(decision(world.db, letter, "anna", "agreed"))
    assert world.land(job) == "completed" and ends(world, job) == ["job_completed"]
    waived = decision is decisions.waive
    assert sorted(service.steps("confirm")) == (["hold"] if waived else ["hold", "ship"])
    assert (world.operation(job, "ship", "confirm") is None) == waived


def test_given_a_cancel_wish_in_attention_when_the_pivot_is_marked_absent_then_the_job_is_cancelled(
    world: World, service: Participant
) -> None:
    job, letter = asked_about(
        world, service, "pay", TimeoutError("no answer"), TimeoutError("no answer")
    )
    assert not world.cancel(job).applied
    world.rung(decisions.mark_absent(world.db, world.settings, letter, "anna", "asked the bank"))
    assert world.land(job) == "cancelled"
    assert world.job(job).cause == "cancel" and ends(world, job) == ["job_cancelled"]


def test_given_a_cancel_wish_while_the_pivot_runs_when_nothing_was_sent_then_the_job_is_cancelled(
    world: World, service: Participant
) -> None:
    job = ""

    def wished(ctx: Any) -> None:
        assert not world.cancel(job).applied
        raise NothingSent("no connection")

    service.script["pay", "action"] = [wished]
    job = world.submit()
    assert world.land(job) == "cancelled"
    assert service.steps() == ["hold"] and service.steps("undo") == ["hold"]


def test_given_fifty_cancels_that_are_too_late_then_history_has_one_line(
    world: World, service: Participant
) -> None:
    job, _letter = asked_about(world, service, "ship", Rejected("no"))
    for _ in range(50):
        assert not world.cancel(job).applied
    assert world.events(job).count("cancel_requested") == 1
    before = world.job(job).rev
    world.cancel(job)
    assert world.job(job).rev == before


def test_given_a_step_past_the_pivot_when_it_is_marked_absent_then_it_is_refused(
    world: World, service: Participant
) -> None:
    _job, letter = asked_about(world, service, "ship", Rejected("no"))
    with pytest.raises(Conflict, match="can no longer be undone"):
        decisions.mark_absent(world.db, world.settings, letter, "anna", "not there")


# --- letters about lateness ----------------------------------------------------------------------------------------
def late_past_the_pivot(world: World) -> str:
    """A job whose sla has passed when there was no way back: a person is told, and its last step is still to come."""
    job = world.submit()
    for _ in range(2):
        world.deliver(world.next())
    world.let_pass(HOUR_S + 1)
    world.sweep()
    assert [letter.why for letter in world.letters(job)] == ["late"]
    return job


def closed(world: World, job: str) -> list[tuple[str, str, str]]:
    return [
        (letter.why, letter.resolution, letter.resolved_by)
        for letter in world.letters(job, "closed")
    ]


def test_given_a_letter_about_lateness_when_all_is_done_then_it_closes_by_itself_and_the_job_ends(
    world: World, service: Participant
) -> None:
    job = late_past_the_pivot(world)
    for _ in range(4):
        world.drain()
        world.sweep()
    assert world.state(job) == "completed" and ends(world, job) == ["job_completed"]
    assert closed(world, job) == [("late", "overtaken", "surefoot")]
    assert "letter_overtaken" in world.events(job) and world.job(job).attention_since is None


def test_given_a_letter_about_lateness_when_its_step_is_given_up_then_that_is_asked_instead(
    world: World, service: Participant
) -> None:
    service.script["ship", "action"] = [Rejected("no")]
    job = late_past_the_pivot(world)
    for _ in range(4):
        world.drain()
        world.sweep()
    assert [letter.why for letter in world.letters(job)] == ["rejected"]
    assert closed(world, job) == [("late", "overtaken", "surefoot")]
    world.rung(decisions.retry(world.db, world.letters(job)[0].id, "anna", "it goes again"))
    world.drain()
    assert world.state(job) == "completed"


def test_given_an_undo_that_is_late_when_it_is_done_then_its_letter_closes_by_itself_and_the_job_ends(
    world: World, service: Participant
) -> None:
    service.script["pay", "action"] = [Rejected("no")]
    job = world.submit()
    for _ in range(2):
        world.deliver(world.next())
    world.let_pass(world.settings.undo_seconds + 1)
    world.sweep()
    assert [letter.why for letter in world.letters(job)] == ["late_undo"]
    for _ in range(4):
        world.drain()
        world.sweep()
    assert world.state(job) == "failed" and ends(world, job) == ["job_failed"]
    assert closed(world, job) == [("late_undo", "overtaken", "surefoot")]


# --- a person is asked: told once, and owned until it is decided -----------------------------------------------------
def warnings_of(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["event"] == "escalated"]


def test_given_jobs_that_turn_to_attention_when_asked_then_one_warning_each_that_names_the_job(
    world: World, service: Participant
) -> None:
    with capture_logs() as lines:
        failed, _letter = asked_about(world, service, "ship", Rejected("the parcel is lost"))
        late = late_past_the_pivot(world)
        world.sweep()
    told = {line["job"]: line for line in warnings_of(lines)}
    assert len(warnings_of(lines)) == 2 and told.keys() == {failed, late}
    assert told[failed] == {
        "event": "escalated", "log_level": "warning", "job": failed, "name": short_name("paid", failed), "saga": "paid",
        "step": "ship", "kind": "action", "attempt": 1, "why": "rejected", "error": "the parcel is lost",
    }  # fmt: skip
    assert (told[late]["step"], told[late]["why"]) == ("ship", "late")


def test_given_a_transaction_that_is_rolled_back_and_run_again_then_one_warning(
    world: World, service: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def busy_once(*_: Any, **values: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("x", None, sqlite3.OperationalError("database is locked"))

    def then_record(move: JobTransaction, event: str, *rest: Any, **detail: Any) -> None:
        record(move, event, *rest, **detail)
        if event == "attention":
            busy_once()

    record = JobTransaction.record
    monkeypatch.setattr(JobTransaction, "record", then_record)
    with capture_logs() as lines:
        asked_about(world, service, "ship", Rejected("no"))
    assert len(tries) == 2 and len(warnings_of(lines)) == 1


def test_given_an_owner_when_a_retry_fails_then_the_job_is_still_owned(
    world: World, service: Participant
) -> None:
    job, letter = asked_about(world, service, "ship", *[Rejected("no")] * 2)
    assignment.take(world.db, job, "anna")
    world.rung(decisions.retry(world.db, letter, "anna", "the road is open"))
    assert world.land(job) == "attention"
    (again,) = world.letters(job)
    assert again.id != letter
    assert (
        world.job(job).owner,
        world.job(job).owned_at is not None,
        world.job(job).attention_since is not None,
    ) == ("anna", True, True)
    world.rung(decisions.waive(world.db, again.id, "anna", "agreed"))
    assert world.job(job).owner is None


def test_given_an_owner_when_the_retry_succeeds_and_another_step_asks_then_nobody_owns_that_question(
    world: World, service: Participant
) -> None:
    job, letter = asked_about(world, service, "pay", *[TimeoutError("no answer")] * 2)
    assignment.take(world.db, job, "anna")
    service.script["ship", "action"] = [Rejected("no")]
    world.rung(decisions.retry(world.db, letter, "anna", "the bank is back"))
    assert world.land(job) == "attention"
    assert [letter.step for letter in world.letters(job)] == ["ship"] and world.job(
        job
    ).owner is None


def test_given_a_retry_by_a_person_when_it_waits_and_runs_then_what_the_last_attempt_said_is_told(
    world: World, service: Participant
) -> None:
    seen: list[str] = []

    def look(ctx: Any) -> str:
        seen.append(why(world.db, ctx.job_id, None)["sentence"])
        return "done"

    job, letter = asked_about(world, service, "ship", Rejected("the parcel is lost"), look)
    world.rung(decisions.retry(world.db, letter, "anna", "found"))
    assert world.land(job) == "completed"
    assert "attempt 2 of 2" in seen[0] and "; the last attempt: the parcel is lost." in seen[0]
