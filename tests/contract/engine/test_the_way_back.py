"""The turn: refusal, exhaustion, deadline and cancel all land undone, in reverse order, once."""

from __future__ import annotations

import re
import sqlite3

import pytest
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.redrive import redrive_job
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.errors import Conflict
from surefoot.app.saga.outcomes import Rejected
from tests.support.world import Participant, World, after_effect


def reversed_ok(service: Participant) -> None:
    done, undone = service.steps(), service.steps("undo")
    assert len(undone) == len(set(undone))
    assert set(undone) <= set(done)
    if "first" in undone:
        assert undone[-1] == "first"


def test_given_a_refused_step_then_what_was_done_is_undone_in_reverse_and_the_refused_step_is_not(
    world: World, service: Participant
) -> None:
    service.script["right", "action"] = [Rejected("the bank says no")]
    job = world.submit()
    assert world.land(job) == "failed"
    assert set(service.steps("undo")) == {"first", "left"} and service.steps("undo")[-1] == "first"
    assert world.operation(job, "right", "undo") is None
    assert world.job(job).reason == "the bank says no"
    assert world.letters(job) == []


def test_given_healthy_parts_when_a_job_is_undone_then_chains_and_chords_carry_it_back_without_any_sweep(
    world: World, service: Participant
) -> None:
    service.script["commit", "action"] = [Rejected("no")]
    job = world.submit()
    world.drain()
    assert world.state(job) == "failed"
    assert world.broker.bodies == 2  # the join forward, and the one back
    assert set(world.broker.published.values()) == {1}
    chain = world.submit()
    service.script["right", "action"] = [Rejected("no")]
    world.drain()
    assert world.state(chain) == "failed"
    assert set(world.broker.published.values()) == {1}


def test_given_a_time_to_try_again_when_it_comes_then_the_same_sweep_rings(
    world: World, service: Participant
) -> None:
    service.script["first", "action"] = [RuntimeError("once")]
    job = world.submit()
    world.drain()
    world.let_pass(2)
    assert world.sweep() == {"woken": 1}
    world.drain()
    assert world.state(job) == "completed"


def test_given_a_step_that_always_fails_then_it_is_tried_to_its_limit_and_leaves_one_letter(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [RuntimeError("down")] * 20
    job = world.submit()
    assert world.land(job) == "failed"
    assert service.calls["left", "action"] == 5
    (letter,) = world.letters(job)
    assert (letter.step, letter.kind, letter.why, letter.blocking, letter.attempts) == (
        "left",
        "action",
        "exhausted",
        False,
        5,
    )
    reversed_ok(service)


def test_given_an_unknown_outcome_that_is_never_learnt_then_its_undo_runs_and_takes_the_effect_back(
    world: World, service: Participant
) -> None:
    service.script["right", "action"] = [after_effect(TimeoutError("no answer")) for _ in range(5)]
    job = world.submit()
    assert world.land(job) == "failed"
    assert "right" in service.steps("undo")
    reversed_ok(service)


def test_given_one_unknown_attempt_then_a_refusal_then_the_step_is_undone_all_the_same(
    world: World, service: Participant
) -> None:
    service.script["right", "action"] = [after_effect(TimeoutError("no answer")), Rejected("no")]
    job = world.submit()
    assert world.land(job) == "failed"
    assert "right" in service.steps("undo")


def test_given_a_transient_error_then_the_step_is_tried_again_and_the_job_completes(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [RuntimeError("once"), after_effect(RuntimeError("twice"))]
    job = world.submit()
    assert world.land(job) == "completed"
    assert service.calls["left", "action"] == 3 and service.steps().count("left") == 1


def test_given_a_mistake_in_a_step_then_the_log_says_where_and_people_are_told_more_than_a_key(
    world: World, service: Participant
) -> None:
    service.script["left", "action"] = [lambda ctx: {}["hotel"]]
    job = world.submit()
    with capture_logs() as lines:
        assert world.land(job) == "completed"
    (line,) = [line for line in lines if line["event"] == "attempt_failed"]
    assert re.search(
        r"world\.py:\d+ in left > .*world\.py:\d+ in act > .*test_the_way_back\.py:\d+ in <lambda>$",
        line["at"],
    )
    assert line["error"] == {"type": "KeyError", "message": "KeyError: 'hotel'"}


def test_given_a_database_that_refuses_a_statement_then_nobody_is_shown_its_values(
    world: World, service: Participant
) -> None:
    refused = IntegrityError(
        "INSERT INTO trips VALUES (?)",
        ("Ada",),
        sqlite3.IntegrityError("not unique: trips.key\nDETAIL: Key=(Ada)"),
    )
    service.script["left", "action"] = [refused] * 5
    job = world.submit()
    assert world.land(job) == "failed"
    assert world.job(job).reason == "not unique: trips.key"
    assert world.operation(job, "left").error == {
        "type": "IntegrityError",
        "message": "not unique: trips.key",
    }


@pytest.mark.parametrize("delivered", range(3))
def test_given_a_cancel_before_the_pivot_then_everything_done_is_undone(
    world: World, service: Participant, delivered: int
) -> None:
    job = world.submit()
    for _ in range(delivered):
        world.deliver(world.next())
    decision = world.cancel(job)
    assert decision.applied
    assert world.land(job) == "cancelled"
    assert set(service.steps("undo")) == set(service.steps())
    reversed_ok(service)


def test_given_the_pivot_is_done_when_cancelled_then_it_is_too_late_and_the_wish_is_noted(
    world: World,
) -> None:
    job = world.submit()
    for task in ("first", "left", "right", "commit"):
        world.deliver(world.next(f"diamond.{task}"))
    decision = world.cancel(job)
    assert not decision.applied and "commit" in decision.message
    assert world.job(job).cancel_requested
    assert world.land(job) == "completed"
    with pytest.raises(Conflict):
        world.cancel(job)


def test_given_a_cancel_while_a_step_runs_then_its_result_is_kept_and_undone_after_it(
    world: World, service: Participant
) -> None:
    job = ""

    def cancel_now(ctx):
        world.cancel(job)

    service.script["left", "action"] = [cancel_now]
    job = world.submit()
    assert world.land(job) == "cancelled"
    assert world.operation(job, "left").state == "completed"
    assert set(service.steps("undo")) == {"first", "left"} | (set(service.steps()) & {"right"})
    reversed_ok(service)


def test_given_a_deadline_passes_before_the_pivot_then_it_is_undone_for_that_cause(
    world: World,
) -> None:
    job = world.submit(deadline_s=30)
    world.deliver(world.next())
    world.let_pass(31)
    world.sweep()
    assert world.job(job).cause == "deadline"
    assert world.land(job) == "failed"


def test_given_a_deadline_passes_after_the_pivot_then_the_job_goes_on_and_is_late(
    world: World,
) -> None:
    job = world.submit(deadline_s=30)
    for task in ("first", "left", "right", "commit"):
        world.deliver(world.next(f"diamond.{task}"))
    world.let_pass(31)
    world.sweep()
    assert world.job(job).deadline_missed
    assert world.land(job) == "completed"


def test_given_an_undo_out_of_attempts_then_a_person_is_asked_and_a_redrive_lands_it(
    world: World, service: Participant
) -> None:
    service.script["right", "action"] = [Rejected("no")]
    service.script["left", "undo"] = [RuntimeError("down")] * 10
    job = world.submit()
    assert world.land(job) == "attention"
    (letter,) = world.letters(job)
    assert (letter.step, letter.kind, letter.blocking) == ("left", "undo", True)
    assert world.broken() == {}
    world.rung(decisions.retry(world.db, letter.id, "anna", "the service is back"))
    with pytest.raises(Conflict):
        decisions.retry(world.db, letter.id, "bert", "me too")
    assert world.land(job) == "failed"
    reversed_ok(service)


@pytest.mark.parametrize("decision", [decisions.mark_done, decisions.waive])
def test_given_attention_when_a_person_marks_done_or_waives_then_the_rest_is_undone(
    world: World, service: Participant, decision
) -> None:
    service.script["right", "action"] = [Rejected("no")]
    service.script["left", "undo"] = [RuntimeError("down")] * 10
    job = world.submit()
    assert world.land(job) == "attention"
    world.rung(decision(world.db, world.letters(job)[0].id, "anna", "done by hand"))
    assert world.land(job) == "failed"
    assert service.steps("undo") == ["first"]


def test_given_a_step_past_the_pivot_out_of_attempts_then_a_person_is_asked_and_nothing_is_undone(
    world: World, service: Participant
) -> None:
    service.script["after", "action"] = [RuntimeError("down")] * 20
    job = world.submit()
    assert world.land(job) == "attention"
    assert service.steps("undo") == []
    world.rung(redrive_job(world.entrance, job, Asked("anna", "it is back")))
    assert world.land(job) == "completed"


def test_given_the_pivot_may_have_happened_when_it_is_out_of_attempts_then_a_person_is_asked(
    world: World, service: Participant
) -> None:
    service.script["commit", "action"] = [TimeoutError("no answer")] * 5
    job = world.submit()
    assert world.land(job) == "attention"
    world.rung(
        decisions.mark_absent(
            world.db, world.settings, world.letters(job)[0].id, "anna", "asked the service"
        )
    )
    assert world.land(job) == "failed"
    assert set(service.steps("undo")) == {"first", "left", "right"}


def test_given_a_refused_pivot_then_the_job_is_undone(world: World, service: Participant) -> None:
    service.script["commit", "action"] = [Rejected("no")]
    job = world.submit()
    assert world.land(job) == "failed"
    assert set(service.steps("undo")) == {"first", "left", "right"}


def test_given_an_ended_job_when_redriven_then_a_new_job_names_the_old(
    world: World, service: Participant
) -> None:
    service.script["right", "action"] = [Rejected("no")]
    job = world.submit()
    assert world.land(job) == "failed"
    again = world.rung(resubmit_job(world.entrance, job, Asked("anna")))
    assert world.job(again.job_id).retry_of == job
    with pytest.raises(Conflict):
        resubmit_job(world.entrance, again.job_id, Asked("anna"))
    assert world.land(again.job_id) == "completed"
    once_more = world.rung(resubmit_job(world.entrance, again.job_id, Asked("anna", again=True)))
    assert world.job(once_more.job_id).retry_of == again.job_id
    world.drain()
