"""A job that is run again: one new job for one old one, however often, and by however many, it is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.operators.redrive import (
    RedrivePlan,
    redrive_job,
    redrive_letter,
    redrive_many,
)
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.engine.relay.duties.redrives import Redrives
from surefoot.app.errors import Conflict, InvalidInput, KeyReused, NotAllowed, TooManyOpenJobs
from surefoot.app.limits.admission import Admission
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store import job_reads
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, history, jobs
from tests.support.plans import first_plan, served
from tests.support.world import World

ANNA = Asked("anna", "the customer wants it")
DOWN = RuntimeError("down")


def undone(world: World) -> str:
    world.service.script["right", "action"] = [Rejected("no")]
    job = world.submit()
    assert world.land(job) == "failed"
    return job


def undo_given_up(world: World) -> str:
    """A job in attention: it was refused, and an undo of it failed until it was given up."""
    world.service.script["right", "action"] = [Rejected("no")]
    world.service.script["left", "undo"] = [DOWN] * 10
    job = world.submit()
    assert world.land(job) == "attention"
    return job


def completed(world: World) -> str:
    job = world.submit()
    assert world.land(job) == "completed"
    return job


def again(world: World, job: str, asked: Asked = ANNA) -> Any:
    return world.rung(resubmit_job(world.entrance, job, asked))


def redriven(world: World, job: str, asked: Asked = ANNA) -> Any:
    return world.rung(redrive_job(world.entrance, job, asked))


def reruns(world: World, job: str) -> list[str]:
    with reading(world.db) as connection:
        return list(
            connection.scalars(select(jobs.c.id).where(jobs.c.retry_of == job).order_by(jobs.c.id))
        )


# --- one job -----------------------------------------------------------------------------------------------------
def test_given_a_job_that_is_run_again_when_asked_once_more_then_refused_with_the_one_there_is_until_that_is_undone(
    world: World,
) -> None:
    job = undone(world)
    world.service.script["right", "action"] = [Rejected("no")]
    first = again(world, job).job_id
    with pytest.raises(Conflict) as refused:
        again(world, job)
    assert refused.value.details["job_id"] == first
    assert "diamond-" in refused.value.message
    assert world.land(first) == "failed"
    second = again(world, job).job_id
    assert world.land(second) == "completed"
    with pytest.raises(Conflict) as refused:
        again(world, job, replace(ANNA, again=True))
    assert refused.value.details["job_id"] == second
    assert reruns(world, job) == [first, second]


def test_given_a_completed_job_when_run_again_then_only_when_that_is_said(world: World) -> None:
    job = completed(world)
    with pytest.raises(Conflict, match="completed"):
        again(world, job)
    assert reruns(world, job) == []
    made = again(world, job, replace(ANNA, again=True)).job_id
    assert (world.land(made), reruns(world, job)) == ("completed", [made])
    with reading(world.db) as connection:
        h = history.c
        line = connection.execute(
            select(h.actor, h.detail).where(h.job_id == job, h.event == "resubmitted")
        ).one()
    assert (line.actor, line.detail["why"], line.detail["job"]) == ("anna", ANNA.why, made)


@pytest.mark.parametrize("key", ["one", None])
def test_given_five_at_once_when_a_job_is_run_again_then_one_new_job(
    world: World, key: str | None
) -> None:
    job = undone(world)
    together = threading.Barrier(5)

    def ask(_: int) -> str | None:
        together.wait(timeout=20)
        try:
            return str(resubmit_job(world.entrance, job, replace(ANNA, key=key)).job_id)
        except Conflict as refused:
            return f"named {refused.details['job_id']}"

    with ThreadPoolExecutor(5) as pool:
        said = list(pool.map(ask, range(5)))
    (made,) = reruns(world, job)
    assert sorted(set(said)) == ([made] if key else sorted([made, f"named {made}"]))
    assert said.count(made) == (5 if key else 1)
    world.sweep()
    assert world.land(made) == "completed"


# --- keys --------------------------------------------------------------------------------------------------------
def test_given_a_key_when_the_same_is_asked_again_then_the_same_job_also_when_it_has_ended(
    world: World,
) -> None:
    job, keyed = undone(world), replace(ANNA, key="k")
    first = again(world, job, keyed)
    assert not first.replayed
    assert world.land(first.job_id) == "completed"
    second = again(world, job, keyed)
    assert (second.job_id, second.replayed, second.plan) == (first.job_id, True, ())
    other = undone(world)
    with pytest.raises(KeyReused):
        again(world, other, keyed)
    with pytest.raises(KeyReused):  # a submission of the same input is another request
        world.submit(key="k")


def test_given_the_key_of_a_submission_when_its_job_is_run_again_under_it_then_refused_and_not_answered_with_the_old_job(
    world: World,
) -> None:
    world.service.script["right", "action"] = [Rejected("no")]
    job = world.submit(key="k")
    assert world.land(job) == "failed"
    with pytest.raises(KeyReused):
        again(world, job, replace(ANNA, key="k"))


def test_given_attention_and_a_key_when_asked_twice_then_sent_back_once_and_no_new_job_even_when_it_has_ended(
    world: World,
) -> None:
    job = undo_given_up(world)
    keyed = replace(ANNA, key="k")
    redriven(world, job, keyed)
    assert world.land(job) == "failed"
    answer = redriven(world, job, keyed)
    assert (answer.job_id, answer.replayed) == (job, True)
    assert world.count(jobs) == 1


def test_given_a_letter_of_a_landed_job_and_a_key_when_sent_back_twice_then_one_job_and_the_same_answer(
    world: World,
) -> None:
    world.service.script["left", "action"] = [DOWN] * 5
    job = world.submit()
    assert world.land(job) == "failed"
    (letter,) = world.letters(job)
    first = redrive_letter(world.entrance, letter.id, replace(ANNA, key="k"))
    second = redrive_letter(world.entrance, letter.id, replace(ANNA, key="k"))
    assert (second.job_id, second.replayed) == (first.job_id, True)  # type: ignore[union-attr]
    with pytest.raises(Conflict):
        redrive_letter(world.entrance, letter.id, ANNA)
    assert len(reruns(world, job)) == 1


# --- the same door for all ---------------------------------------------------------------------------------------
def test_given_as_many_open_jobs_as_may_be_when_one_is_run_again_then_refused_by_whatever_way(
    world: World,
) -> None:
    job = undone(world)
    world.service.script["left", "action"] = [DOWN] * 5
    lost = world.submit()
    assert world.land(lost) == "failed"
    world.submit()
    full = Entrance(world.db, world.settings, world.registry, Admission(1, every_s=0).admit)
    with pytest.raises(TooManyOpenJobs):
        resubmit_job(full, job, ANNA)
    with pytest.raises(TooManyOpenJobs):
        redrive_letter(full, world.letters(lost)[0].id, ANNA)
    assert reruns(world, job) == reruns(world, lost) == []
    world.drain()


def test_given_as_many_open_jobs_as_may_be_when_a_dated_letter_is_due_then_it_waits_and_is_sent_back_when_there_is_room(
    world: World,
) -> None:
    world.service.script["left", "action"] = [DOWN] * 5
    lost = world.submit()
    assert world.land(lost) == "failed"
    open_one = world.submit()
    world.sweeper.duty(Redrives).entrance = Entrance(
        world.db, world.settings, world.registry, Admission(1, every_s=0).admit
    )
    redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 1, 0), Asked("anna", "w")
    )
    assert "redriven" not in world.sweep()
    (letter,) = world.letters(lost)
    assert letter.redrive_at is not None
    assert world.land(open_one) == "completed"
    world.let_pass(11)  # it was put off by ten seconds
    assert world.sweep()["redriven"] == 1
    (made,) = reruns(world, lost)
    assert world.land(made) == "completed"


def test_given_a_letter_of_a_job_that_is_run_again_already_when_due_then_it_stays_open_and_history_names_the_other(
    world: World,
) -> None:
    world.service.script["left", "action"] = [DOWN] * 5
    lost = world.submit()
    assert world.land(lost) == "failed"
    made = again(world, lost).job_id
    with world.db.begin() as tx:  # a letter that came later, as one of an older release's
        tx.execute(
            update(dead_letters)
            .where(dead_letters.c.job_id == lost)
            .values(state="open", resolution=None)
        )
    redrive_many(
        world.db, world.settings, RedrivePlan(DeadLetterFilter(), 1, 0), Asked("bert", "w")
    )
    assert "redriven" not in world.sweep()
    assert world.events(lost)[-1] == "redrive_refused"
    assert reruns(world, lost) == [made]
    assert world.land(made) == "completed"


def test_given_two_reruns_that_stand_when_asked_then_the_invariant_names_their_job(
    world: World,
) -> None:
    job = undone(world)
    first = again(world, job).job_id
    assert world.land(first) == "completed"
    second = world.submit(retry_of=job)
    ((sentence, ids),) = world.broken().items()
    assert sentence == "a job has at most one resubmission that is open or completed"
    assert [id_.replace("-", "") for id_ in ids] == [job.replace("-", "")]
    with world.db.begin() as tx:
        tx.execute(update(jobs).where(jobs.c.id == second).values(retry_of=None))
    world.drain()


def test_given_many_jobs_when_a_rerun_is_looked_for_then_by_its_index(world: World) -> None:
    _, plan = first_plan(
        world.db,
        lambda connection: job_reads.standing_rerun(
            connection, "00000000-0000-7000-8000-000000000000"
        ),
    )
    assert served(plan, "ix_jobs_retry_of"), plan


def test_given_no_reason_or_no_right_to_decide_when_a_job_in_attention_is_sent_back_then_refused(
    world: World,
) -> None:
    job = undo_given_up(world)
    with pytest.raises(InvalidInput, match="reason"):
        redriven(world, job, replace(ANNA, why=""))
    with pytest.raises(NotAllowed):
        redriven(world, job, replace(ANNA, decides=False))
    with pytest.raises(Conflict, match="only an ended job is resubmitted"):
        again(world, job)
    redriven(world, job)
    assert world.land(job) == "failed"
    with pytest.raises(Conflict, match="resubmit it as a new job"):
        redriven(world, job)
