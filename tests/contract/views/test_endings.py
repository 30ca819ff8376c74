"""What is said of a job's end comes from all its effects; why it failed, and what failed afterwards, are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from surefoot.app.engine.operators import decisions
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.outcomes import NotYet, Rejected
from surefoot.app.store.catalogue import register
from surefoot.app.store.tables import definitions
from surefoot.app.store.views import effects_view, job_view, list_jobs, saga_view
from tests.contract.views.shop import Shop
from tests.support.world import Participant, World


class Thing(BaseModel):
    name: str = "thing"


def subscription(service: Participant) -> Saga[Any]:
    """A charge that stays by declaration, then a step that waits."""
    saga = Saga("subscription", version=1, input=Thing, summary="of {name}")

    @saga.step(lane="a", undo=None, note="a month that was used is paid")
    def charge(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @saga.step(lane="a")
    def book_seat(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    @book_seat.compensate("exact")
    def unbook(ctx: Any, o: Any) -> None:
        service.act(ctx)

    @saga.step(lane="a", no_effect=True)
    def wait_a_month(ctx: Any, o: Any) -> NotYet:
        return NotYet(after=3600)

    return saga


def long_one(service: Participant) -> Saga[Any]:
    """Twelve steps with an undo each, and one that refuses."""
    saga = Saga("long_one", version=1, input=Thing)

    def add(number: int) -> None:
        def act(ctx: Any, o: Any) -> str:
            return service.act(ctx)

        def back(ctx: Any, o: Any) -> None:
            service.act(ctx)

        act.__name__, back.__name__ = f"print_{number}", f"unprint_{number}"
        saga.step(lane="a")(act).compensate("exact")(back)

    for number in range(12):
        add(number)

    @saga.step(lane="a", undo=None, note="paper is used up")
    def bind_book(ctx: Any, o: Any) -> str:
        return service.act(ctx)

    return saga


@pytest.fixture
def world(ready_url: str) -> Iterator[Callable[[Callable[[Participant], Saga[Any]]], World]]:
    made: list[World] = []

    def make(of: Callable[[Participant], Saga[Any]]) -> World:
        service = Participant()
        made.append(World(ready_url, [of(service)], service))
        return made[-1]

    yield make
    for one in made:
        assert one.broken() == {}
        one.db.dispose()


Make = Callable[[Callable[[Participant], Saga[Any]]], World]


def said(world: World, job: str) -> str:
    return str(why(world.db, job, None)["sentence"])


# --- effects that stay -------------------------------------------------------------------------------------------
def test_given_a_charge_that_is_not_undone_when_the_job_is_cancelled_then_sentence_outcome_and_effects_say_that_it_stays(
    world: Make,
) -> None:
    shop = world(subscription)
    job = shop.submit()
    shop.deliver(shop.next("subscription.charge"))
    shop.cancel(job)
    assert shop.land(job) == "cancelled"
    assert (
        said(shop, job)
        == "Cancelled by test. 1 effect stays: charge (a month that was used is paid)."
    )
    view = job_view(shop.db, job, None)
    assert (view["outcome"], view["left_over"]) == ("undone_partly", ["charge"])
    assert list_jobs(shop.db, None)[0][0]["outcome"] == "undone_partly"
    effects = effects_view(shop.db, job, None)
    assert effects["items"][0]["undo"] == {
        "state": "stays",
        "attempts": 0,
        "note": "a month that was used is paid",
    }
    assert (effects["summary"]["left_over"], effects["summary"]["sentence"]) == (
        1,
        "1 took effect and stays, as the saga says",
    )


def test_given_one_that_stays_and_one_that_is_undone_when_cancelled_then_both_are_said(
    world: Make,
) -> None:
    shop = world(subscription)
    job = shop.submit()
    shop.drain()
    shop.cancel(job)
    assert shop.land(job) == "cancelled"
    assert (
        said(shop, job)
        == "Cancelled by test. Undone but for charge (a month that was used is paid); unbook."
    )


def test_given_one_that_may_have_happened_and_stays_when_undone_then_said_so(world: Make) -> None:
    shop = world(subscription)
    shop.service.script["charge", "action"] = [TimeoutError("no answer")]
    job = shop.submit()
    shop.deliver(shop.next("subscription.charge"))
    shop.cancel(job)
    assert shop.land(job) == "cancelled"
    assert "charge (it may have happened; a month that was used is paid)" in said(shop, job)
    effects = effects_view(shop.db, job, None)
    assert (effects["items"][0]["outcome"], effects["items"][0]["undo"]["state"]) == (
        "unknown",
        "stays",
    )


def test_given_such_a_job_when_it_goes_forward_then_nothing_is_left_over(world: Make) -> None:
    shop = world(subscription)
    job = shop.submit()
    shop.drain()
    view = job_view(shop.db, job, None)
    assert (view["left_over"], view["outcome"]) == ([], "open")
    assert effects_view(shop.db, job, None)["items"][0]["undo"]["state"] == "not_needed"


# --- what failed, and what failed afterwards ---------------------------------------------------------------------
def test_given_an_undo_that_fails_when_shown_then_why_the_job_failed_stays_and_the_trouble_is_told_apart(
    shop: Shop,
) -> None:
    shop.service.script["charge_card", "action"] = [lambda ctx: "charged"]
    shop.service.script["reserve_stock", "action"] = [Rejected("no goods are left")]
    shop.service.script["charge_card", "undo"] = [RuntimeError("bank: 503")] * 2
    job = shop.order()
    for step in ("create_order", "charge_card", "reserve_stock"):
        shop.deliver(shop.next(f"shop.{step}"))
    assert shop.land(job) == "attention"
    view = job_view(shop.db, job, shop.tenant)
    assert (view["reason"], view["error"]["step"], view["error"]["message"]) == (
        "no goods are left",
        "reserve_stock",
        "no goods are left",
    )
    assert (view["trouble"]["step"], view["trouble"]["kind"], view["trouble"]["message"]) == (
        "charge_card",
        "undo",
        "bank: 503",
    )
    assert "refund_card gave up after 2 attempts (bank: 503)" in said(shop, job)
    assert (
        "Why it is undone: no goods are left (reserve_stock); not undone so far: order created and card charged."
        in said(shop, job)
    )
    letter = decisions.letter_of(shop.db, job, "charge_card")
    shop.rung(decisions.waive(shop.db, letter, "anna", "written off"))
    assert shop.land(job) == "failed"
    view = job_view(shop.db, job, shop.tenant)
    assert (view["reason"], view["error"]["step"]) == ("no goods are left", "reserve_stock")
    assert said(shop, job).startswith(
        "Failed: no goods are left (reserve_stock). Undone but for card charged (waived by a person)"
    )


def test_given_a_step_past_the_pivot_that_is_given_up_when_shown_then_trouble_and_no_cause_and_none_when_it_completed(
    shop: Shop,
) -> None:
    shop.service.script["send_receipt", "action"] = [RuntimeError("mail is away")] * 20
    job = shop.order()
    assert shop.land(job) == "attention"
    view = job_view(shop.db, job, shop.tenant)
    assert (view["reason"], view["error"], view["trouble"]["message"]) == (
        None,
        None,
        "mail is away",
    )
    shop.service.script.clear()
    shop.rung(
        decisions.retry(
            shop.db, decisions.letter_of(shop.db, job, "send_receipt"), "anna", "mail is back"
        )
    )
    assert shop.land(job) == "completed"
    view = job_view(shop.db, job, shop.tenant)
    assert (view["reason"], view["error"]) == (None, None)


# --- words -------------------------------------------------------------------------------------------------------
def test_given_a_declined_charge_when_undone_then_its_effect_tells_of_no_refund(shop: Shop) -> None:
    shop.service.script["charge_card", "action"] = [Rejected("declined")]
    job = shop.order()
    assert shop.land(job) == "failed"
    items = {item["step"]: item for item in effects_view(shop.db, job, shop.tenant)["items"]}
    assert (items["charge_card"]["outcome"], items["charge_card"]["undo"]["note"]) == ("none", "")
    assert items["charge_card"]["title"] == "charge the card"
    assert said(shop, job) == (
        "Failed: declined (charge_card). Undone: nothing is left of it; stock released and order voided; not done: charge the card."
    )


def test_given_a_long_job_without_words_when_undone_or_done_then_counted_and_no_english_is_guessed(
    world: Make,
) -> None:
    shop = world(long_one)
    shop.service.script["bind_book", "action"] = [Rejected("no glue")]
    job = shop.submit()
    assert shop.land(job) == "failed"
    assert (
        said(shop, job)
        == "Failed: no glue (bind_book). Undone: nothing is left of it; 12 steps undone; not done: bind_book."
    )
    whole = shop.submit()
    assert shop.land(whole) == "completed"
    assert said(shop, whole).endswith(": 13 steps done.")


def test_given_a_summary_when_a_job_is_accepted_then_view_and_list_have_it_and_a_re_run_too(
    shop: Shop,
) -> None:
    job = shop.order(value={"sku": "tok_canary_5up3r pears"})
    assert job_view(shop.db, job, None)["summary"] == "2 × *** pears, 12.50"
    assert list_jobs(shop.db, None)[0][0]["summary"] == "2 × *** pears, 12.50"
    shop.drain()


def test_given_other_words_when_the_same_definition_is_registered_again_then_they_are_kept(
    shop: Shop,
) -> None:
    (saga,) = shop.registry.all()
    before = saga.digest
    saga.summary = "{sku}"
    register(shop.db, [saga])
    with shop.db.connect() as connection, connection.begin():
        row = connection.execute(
            select(definitions.c.digest, definitions.c.words).where(definitions.c.saga == "shop")
        ).one()
    assert (row.digest, row.words["summary"]) == (before, "{sku}")


def test_given_another_sentence_for_a_field_when_registered_again_then_it_is_said(
    shop: Shop,
) -> None:
    (saga,) = shop.registry.all()
    before = saga.digest
    said = {**saga.input_schema["properties"]["sku"], "x-says": "must be an article such as apple"}
    properties = {**saga.input_schema["properties"], "sku": said}
    vars(saga)["input_schema"] = {**saga.input_schema, "properties": properties}
    register(shop.db, [saga])
    assert saga.digest == before
    shown = saga_view(shop.db, "shop")
    assert shown["input"]["properties"]["sku"]["x-says"] == "must be an article such as apple"
