"""An attempt that nobody has heard the end of: what its undo may believe, and who may say that it has not happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.redrive import RedrivePlan, redrive_many
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.participant.barrier import ActionUndone
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NEVER, UNKNOWN, Happened, NotYet, Rejected
from surefoot.app.saga.policies import Retry
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.session import reading
from surefoot.app.store.views.dead_letters import letters_of_job
from tests.support.world import Participant, Thing, World, after_effect

TIMEOUT_S = 40
WINDOW_S = 2 * TIMEOUT_S


class Bank(Participant):
    """What the undos were given, and what the probe says: a function of the job's books."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []
        self.says: list[Any] = []
        self.asked = 0

    def find(self, ctx: Any) -> Any:
        self.asked += 1
        if self.says:
            return self.says.pop(0)
        return Happened("found") if self.done.get(ctx.action_key) == "done" else NEVER


def charging(bank: Bank, name: str, **undo: Any) -> Saga[Any]:
    """charge (with a probe, or replayed) -> tell."""
    saga = Saga(name, version=1, input=Thing)

    @saga.step(
        lane="a",
        retry=Retry(limit=2),
        timeout=TIMEOUT_S,
        on_unknown_undo="replay" if name == "replayed" else "undo",
    )
    def charge(ctx: Any, o: Any) -> str:
        return bank.act(ctx)

    @charge.compensate(fidelity="exact", retry=Retry(limit=3), **undo)
    def refund(ctx: Any, o: Any, charged: str | None) -> None:
        bank.given.append(charged)
        bank.act(ctx)

    if name != "replayed":
        charge.probe(lambda ctx, o: bank.find(ctx))

    @saga.step(lane="b")
    def tell(ctx: Any, o: Any, charged: str) -> str:
        return bank.act(ctx)

    @tell.compensate(fidelity="exact")
    def untell(ctx: Any, o: Any) -> None:
        bank.act(ctx)

    return saga


def mailing(bank: Bank) -> Saga[Any]:
    """pay (pivot) -> mail, which is sent at most once."""
    saga = Saga("mailing", version=1, input=Thing, sla="1h", on_sla="redrive")

    @saga.step(lane="a", pivot=True)
    def pay(ctx: Any, o: Any) -> str:
        return bank.act(ctx)

    @saga.step(lane="b", irreversible=True, on_unknown="attention", retry=Retry(limit=3))
    def mail(ctx: Any, o: Any) -> str:
        return bank.act(ctx)

    return saga


@pytest.fixture
def service() -> Bank:
    return Bank()


@pytest.fixture
def world(ready_url: str, service: Bank) -> Iterator[World]:
    sagas = [
        charging(service, "asked"),
        charging(service, "voided", settle_after=0),
        charging(service, "replayed"),
        mailing(service),
    ]
    world = World(ready_url, sagas, service)
    try:
        yield world
        assert world.broken() == {}
    finally:
        world.db.dispose()


def cancelled_in_doubt(world: World, service: Bank, saga: str) -> str:
    """A job of this saga whose charge may have happened, that is cancelled."""
    world.saga = saga
    job = world.submit()
    world.deliver(world.next())
    assert world.operation(job, "charge").unknown_outcomes == 1
    assert world.cancel(job).applied
    return job


# --- a probe ---------------------------------------------------------------------------------------------------
def test_given_a_probe_in_doubt_before_an_undo_then_it_is_asked_again_and_the_undo_gets_what_it_finds(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [after_effect(TimeoutError("no answer"))]
    service.says = [UNKNOWN, UNKNOWN]
    job = cancelled_in_doubt(world, service, "asked")
    world.drain()
    assert service.given == [] and world.operation(job, "charge", "undo").state == "waiting"
    assert world.land(job) == "cancelled"
    assert (service.given, service.asked, service.steps("undo")) == (["found"], 3, ["charge"])


def test_given_a_probe_in_doubt_for_ever_before_an_undo_then_a_person_is_asked(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [after_effect(TimeoutError("no answer"))]
    service.says = [UNKNOWN] * 3
    job = cancelled_in_doubt(world, service, "asked")
    assert world.land(job) == "attention"
    (letter,) = world.letters(job)
    assert (letter.step, letter.kind, letter.why, letter.error["type"]) == (
        "charge",
        "undo",
        "exhausted",
        "OutcomeUnknown",
    )
    assert service.given == []
    world.rung(decisions.retry(world.db, letter.id, "anna", "the bank can tell again"))
    assert world.land(job) == "cancelled" and service.given == ["found"]


def test_given_a_request_still_on_its_way_when_the_probe_says_never_then_it_is_believed_only_after_its_time(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [TimeoutError("no answer")]
    job = cancelled_in_doubt(world, service, "asked")
    world.drain()
    undo = world.operation(job, "charge", "undo")
    assert (undo.state, undo.wait_reason, service.given) == ("waiting", "not_yet", [])
    service.done[f"{job}:charge::action"] = "done"  # it arrives
    service.order.append(("charge", "action"))
    assert world.land(job) == "cancelled"
    assert service.given == ["found"] and service.steps("undo") == ["charge"]


def test_given_a_request_that_never_arrives_then_it_is_assumed_absent_on_record_after_its_time(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [TimeoutError("no answer")]
    job = cancelled_in_doubt(world, service, "asked")
    world.drain()
    world.let_pass(WINDOW_S - 15)
    world.sweep()
    world.drain()
    assert service.given == [] and "assumed_absent charge" not in world.events(job)
    assert world.land(job) == "cancelled"
    assert (service.given, world.operation(job, "charge", "undo").attempts) == ([None], 2)
    assert world.events(job).count("assumed_absent charge") == 1


def test_given_an_undo_that_voids_the_key_when_the_probe_says_never_then_it_runs_at_once(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [TimeoutError("no answer")]
    job = cancelled_in_doubt(world, service, "voided")
    world.drain()
    assert world.state(job) == "cancelled" and service.given == [None]


# --- a replay --------------------------------------------------------------------------------------------------
def test_given_a_replay_that_is_refused_then_there_is_nothing_to_replay_and_the_undo_runs(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [
        TimeoutError("no answer"),
        Rejected("the card has expired"),
    ]
    job = cancelled_in_doubt(world, service, "replayed")
    assert world.land(job) == "cancelled"
    assert service.given == [None] and service.steps() == []


def test_given_an_undo_whose_answer_was_lost_when_its_replay_says_undone_then_it_is_done(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [
        after_effect(TimeoutError("no answer")),
        None,
        ActionUndone(key="k", outcome="undone", fence=1),
    ]
    service.script["charge", "undo"] = [after_effect(TimeoutError("no answer"))]
    job = cancelled_in_doubt(world, service, "replayed")
    assert world.land(job) == "cancelled"
    assert service.given == ["charge done", None] and service.order == [
        ("charge", "action"),
        ("charge", "undo"),
    ]


def test_given_a_replay_that_breaks_then_the_undo_is_tried_again(
    world: World, service: Bank
) -> None:
    service.script["charge", "action"] = [
        after_effect(TimeoutError("no answer")),
        RuntimeError("the bank is away"),
    ]
    job = cancelled_in_doubt(world, service, "replayed")
    assert world.land(job) == "cancelled"
    assert service.given == ["charge done"]


# --- at most once ------------------------------------------------------------------------------------------------
def in_question(world: World, service: Bank, *first: Any) -> tuple[str, Any]:
    """A job whose mail may have been sent, and the letter that asks."""
    service.script["mail", "action"] = list(first)
    world.saga = "mailing"
    job = world.submit()
    assert world.land(job) == "attention"
    (letter,) = world.letters(job)
    assert letter.why == "unknown_outcome"
    return job, letter


def test_given_a_person_who_tries_again_then_that_is_the_answer_and_the_step_is_done(
    world: World, service: Bank
) -> None:
    job, letter = in_question(world, service, TimeoutError("no answer"))
    assert service.calls["mail", "action"] == 1
    with reading(world.db) as connection:
        assert letters_of_job(connection, job)[0]["actions"] == ["redrive", "mark-done", "waive"]
    world.rung(decisions.retry(world.db, letter.id, "anna", "I looked: it was not sent"))
    assert world.land(job) == "completed"
    assert service.calls["mail", "action"] == 2


def test_given_a_person_who_tries_again_when_it_is_unknown_once_more_then_the_question_is_asked_once_more(
    world: World, service: Bank
) -> None:
    job, letter = in_question(world, service, TimeoutError("no answer"), TimeoutError("no answer"))
    world.rung(decisions.retry(world.db, letter.id, "anna", "I looked: it was not sent"))
    assert world.land(job) == "attention"
    assert service.calls["mail", "action"] == 2 and world.letters(job)[0].why == "unknown_outcome"


def test_given_a_step_done_at_most_once_when_it_says_not_yet_then_it_is_asked_again_without_a_person(
    world: World, service: Bank
) -> None:
    service.script["mail", "action"] = [lambda ctx: NotYet(5), lambda ctx: NotYet(5)]
    world.saga = "mailing"
    job = world.submit()
    assert world.land(job) == "completed"
    assert service.calls["mail", "action"] == 3


def test_given_the_question_whether_it_happened_then_no_machine_answers_it(
    world: World, service: Bank
) -> None:
    job, letter = in_question(world, service, TimeoutError("no answer"))
    asked = Asked("anna", "after the outage")

    def meant(**only: Any) -> tuple[str, ...]:
        plan = RedrivePlan(DeadLetterFilter(**only), rate=1.0)
        return redrive_many(world.db, world.settings, plan, asked, dry_run=True).letters

    assert meant() == ()
    assert meant(why="unknown_outcome") == (letter.id,)
    world.let_pass(3601)
    world.sweep()
    world.drain()
    assert world.state(job) == "attention" and service.calls["mail", "action"] == 1


def test_given_a_step_that_polls_for_long_then_history_has_a_line_for_few_of_its_polls(
    world: World, service: Bank
) -> None:
    polls = 20

    def ask(ctx: Any) -> Any:
        return NotYet(1)

    service.script["mail", "action"] = [ask] * polls
    world.saga = "mailing"
    job = world.submit()
    world.deliver(world.next())
    for _ in range(polls):
        world.drain()
        world.let_pass(2)
        world.sweep()
    assert world.land(job) == "completed"
    assert world.events(job).count("parked mail") == 5, "attempt 1, 2, 4, 8, 16"
