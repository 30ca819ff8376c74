"""Letters that are sent back or laid down: one by one, by the clock, and by two at once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from surefoot.app.engine.operators import redrive
from surefoot.app.engine.operators.redrive import RedrivePlan
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.errors import Conflict, NotFound
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, definitions, jobs
from tests.support.world import Participant, World

DOWN = RuntimeError("down")


def given_up(world: World, service: Participant) -> str:
    """A job that landed undone because an action was out of attempts: its letter does not hold it."""
    service.script["left", "action"] = [DOWN] * 5
    job = world.submit()
    assert world.land(job) == "failed"
    return job


def in_attention(world: World, service: Participant) -> str:
    service.script["right", "action"] = [Rejected("no")]
    service.script["left", "undo"] = [DOWN] * 10
    job = world.submit()
    assert world.land(job) == "attention"
    return job


def sent_back(world: World, letter_id: str, actor: str = "anna") -> Any:
    return world.rung(redrive.redrive_letter(world.entrance, letter_id, Asked(actor, "it is back")))


def dates(world: World) -> list[Any]:
    with reading(world.db) as connection:
        return list(
            connection.scalars(
                select(dead_letters.c.redrive_at)
                .where(dead_letters.c.state == "open")
                .order_by("redrive_at")
            )
        )


# --- one ---------------------------------------------------------------------------------------------------------
def test_given_letter_of_a_landed_job_when_sent_back_then_one_new_job_names_the_old_and_the_letter_is_closed(
    world: World, service: Participant
) -> None:
    job = given_up(world, service)
    (letter,) = world.letters(job)
    again = sent_back(world, letter.id)
    assert world.job(again.job_id).retry_of == job
    with pytest.raises(Conflict):
        sent_back(world, letter.id, "bert")
    assert world.count(jobs) == 2
    (closed,) = world.letters(job, "closed")
    assert (closed.resolution, closed.resolved_by, closed.resolved_why) == (
        "redriven",
        "anna",
        "it is back",
    )
    assert closed.retried_as == again.job_id
    assert world.events(job)[-1] == "resubmitted"
    assert world.state(job) == "failed"
    assert world.land(again.job_id) == "completed"


def test_given_two_letters_of_one_job_when_one_is_sent_back_then_one_new_job_answers_both(
    world: World, service: Participant
) -> None:
    job = given_up(world, service)
    (letter,) = world.letters(job)
    other = world.operation(job, "right")
    with (
        world.db.begin() as tx
    ):  # as a second branch leaves one that is out of attempts at the same time
        tx.execute(
            insert(dead_letters).values(
                **dict(letter._mapping)
                | {"id": new_id(), "operation_id": other.id, "step": "right"}
            )
        )
    letters = world.letters(job)
    assert {one.step for one in letters} == {"left", "right"}
    sent_back(world, letters[0].id)
    assert world.letters(job) == []
    assert world.count(jobs) == 2


def test_given_new_job_that_is_refused_when_sent_back_then_the_letter_stays_open(
    world: World, service: Participant
) -> None:
    job = given_up(world, service)
    (letter,) = world.letters(job)
    with world.db.begin() as tx:
        tx.execute(update(jobs).values(input={"nobody": "knows this field"}))
    with pytest.raises(Exception, match="input"):
        sent_back(world, letter.id)
    assert len(world.letters(job)) == 1
    assert world.count(jobs) == 1


def test_given_letter_that_holds_its_job_when_sent_back_then_fresh_attempts(
    world: World, service: Participant
) -> None:
    job = in_attention(world, service)
    assert world.job(job).attention_since is not None
    (letter,) = world.letters(job)
    sent_back(world, letter.id)
    assert world.job(job).attention_since is None
    assert world.land(job) == "failed"
    assert world.count(jobs) == 1


def test_given_job_still_being_undone_when_its_letter_is_sent_back_then_refused_until_it_has_landed(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [DOWN] * 5
    service.script["first", "undo"] = [DOWN]
    job = world.submit()
    for _ in range(20):
        world.drain()
        if world.state(job) == "compensating":
            break
        world.let_pass(61)
        world.sweep()
    (letter,) = world.letters(job)
    with pytest.raises(redrive.NotLanded):
        sent_back(world, letter.id)
    redrive.redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 10, 0), Asked("anna", "w")
    )
    world.sweep()
    assert len(world.letters(job)) == 1
    assert world.land(job) == "failed"
    for _ in range(
        3
    ):  # first what fell due while time passed in a leap is put off, then it is sent
        world.let_pass(4)
        world.sweep()
    world.let_pass(3)
    world.sweep()
    assert world.letters(job) == []
    assert world.count(jobs) == 2


def test_given_letter_when_laid_down_then_closed_with_who_and_why_and_not_twice(
    world: World, service: Participant
) -> None:
    job = given_up(world, service)
    (letter,) = world.letters(job)
    redrive.discard_letter(world.db, letter.id, "anna", "the customer went elsewhere")
    with pytest.raises(Conflict):
        redrive.discard_letter(world.db, letter.id, "bert", "me too")
    with pytest.raises(Conflict):
        sent_back(world, letter.id)
    (closed,) = world.letters(job, "closed")
    assert (closed.resolution, closed.resolved_by) == ("discarded", "anna")
    assert world.events(job)[-1] == "discarded left"


def test_given_letter_that_holds_its_job_when_laid_down_then_refused_with_the_decisions_there_are(
    world: World, service: Participant
) -> None:
    job = in_attention(world, service)
    (letter,) = world.letters(job)
    with pytest.raises(Conflict, match="mark-done or waive"):
        redrive.discard_letter(world.db, letter.id, "anna", "away with it")
    assert world.state(job) == "attention"
    with pytest.raises(NotFound):
        redrive.discard_letter(world.db, "00000000-0000-7000-8000-000000000000", "anna", "why")


# --- many --------------------------------------------------------------------------------------------------------
def test_given_many_when_sent_back_at_a_rate_then_dated_and_the_relay_sends_each_in_its_time(
    world: World, service: Participant
) -> None:
    landed = [given_up(world, service) for _ in range(4)]
    tried = redrive.redrive_many(
        world.db,
        world.settings,
        RedrivePlan(DeadLetterFilter(), 1, 0),
        Asked("anna", "w"),
        dry_run=True,
    )
    assert (len(tried.letters), tried.takes_s) == (4, 3.0)
    assert dates(world) == [None] * 4
    found = redrive.redrive_many(
        world.db,
        world.settings,
        RedrivePlan(DeadLetterFilter(saga="diamond", step="left"), 1, 0),
        Asked("anna", "back"),
    )
    assert found.letters == tried.letters
    spread = dates(world)
    assert (spread[-1] - spread[0]).total_seconds() == pytest.approx(3.0, abs=0.5)
    sent = []
    for _ in range(5):
        sent.append(world.sweep().get("redriven", 0))
        world.let_pass(1)
    assert sum(sent) == 4
    assert max(sent) <= 2
    assert world.count(jobs) == 8
    (closed,) = world.letters(landed[0], "closed")
    assert (closed.resolved_by, closed.resolved_why) == ("anna", "back")
    for job in [row.id for row in world_jobs(world)]:
        world.land(job)


def test_given_relay_that_was_away_when_it_is_back_then_what_piled_up_comes_later_and_not_at_once(
    world: World, service: Participant
) -> None:
    for _ in range(4):
        given_up(world, service)
    redrive.redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 0.5, 0), Asked("anna", "w")
    )
    before = dates(world)
    world.let_pass(600)
    assert "redriven" not in world.sweep()
    after = dates(world)
    assert (after[-1] - after[0]).total_seconds() == pytest.approx(
        (before[-1] - before[0]).total_seconds(), abs=0.2
    )
    assert world.sweep().get("redriven") == 1
    redrive.cancel_redrive(world.db, DeadLetterFilter(), "ada", "too early")
    world.drain()


def test_given_dated_letters_when_asked_again_or_held_back_then_each_once_and_none(
    world: World, service: Participant
) -> None:
    job, other = given_up(world, service), in_attention(world, service)
    first = redrive.redrive_many(
        world.db,
        world.settings,
        RedrivePlan(DeadLetterFilter(needs_person=False), 1, 3600),
        Asked("a", "w"),
    )
    second = redrive.redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 1, 0), Asked("b", "w")
    )
    assert first.letters == (world.letters(job)[0].id,)
    assert second.letters == (world.letters(other)[0].id,)
    assert (
        redrive.cancel_redrive(world.db, DeadLetterFilter(needs_person=False), "ada", "too early")
        == 1
    )
    assert redrive.cancel_redrive(world.db, DeadLetterFilter(), "ada", "too early") == 1
    assert "redriven" not in world.sweep()
    assert len(world.letters(job)) == len(world.letters(other)) == 1


def test_given_more_than_one_request_sends_back_then_it_says_so(
    world: World, service: Participant
) -> None:
    for _ in range(3):
        given_up(world, service)
    few = world.settings.model_copy(update={"redrive_letters": 2})
    found = redrive.redrive_many(
        world.db, few, RedrivePlan(DeadLetterFilter(), 1, 0), Asked("anna", "w")
    )
    assert (len(found.letters), found.more) == (2, True)
    redrive.cancel_redrive(world.db, DeadLetterFilter(), "ada", "too early")


def test_given_dated_letter_whose_saga_is_gone_when_due_then_it_stays_open_and_history_says_why(
    world: World, service: Participant
) -> None:
    job = given_up(world, service)
    redrive.redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 1, 0), Asked("anna", "w")
    )
    with world.db.begin() as tx:
        tx.execute(update(jobs).values(saga="gone"))
    assert "redriven" not in world.sweep()
    assert world.events(job)[-1] == "redrive_refused"
    assert dates(world) == [None]
    assert world.count(definitions) == 1


def world_jobs(world: World) -> list[Any]:
    with reading(world.db) as connection:
        return list(connection.execute(select(jobs.c.id)))
