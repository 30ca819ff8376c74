"""Why a job stands where it stands: one sentence for each state, on both databases."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from surefoot.app.engine.operators import decisions
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.errors import NotFound
from surefoot.app.explain import why
from surefoot.app.rules.events import EARLIER_NAMES, HistoryEvent
from surefoot.app.saga.outcomes import NotYet, Rejected
from surefoot.app.store.tables import history, jobs
from surefoot.app.store.views import history_view
from surefoot.app.store.views.dead_letters import letters_of_job
from tests.contract.views.shop import Shop

TIME = r"(?:\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d) UTC"  # of another day, as soon before midnight, with its date


def told(shop: Shop, job_id: str) -> dict[str, Any]:
    answer = why(shop.db, job_id, shop.tenant)
    assert set(answer) == {"state", "since", "sentence", "waiting_for", "next"}
    assert all(set(wait) >= {"kind", "what", "since", "ends_by"} for wait in answer["waiting_for"])
    assert answer["since"]
    return answer


def says(answer: dict[str, Any], pattern: str) -> None:
    assert re.fullmatch(pattern, answer["sentence"]), answer["sentence"]


def worker(shop: Shop, host: str, *lanes: str, digests: list[str] | None = None) -> str:
    worker_id = f"boot-{host}"
    leases.register_worker(
        shop.db,
        worker_id,
        WorkerProcess(
            host=host,
            pid=1,
            lanes=list(lanes),
            digests=digests or [shop.registry.all()[0].digest],
            concurrency=2,
        ),
    )
    return worker_id


def deliver(shop: Shop, *steps: str) -> None:
    for step in steps:
        shop.deliver(shop.next(f"shop.{step}"))


def test_given_live_worker_when_accepted_then_waits_for_one_of_its_lane(shop: Shop) -> None:
    worker(shop, "a", "orders")
    answer = told(shop, shop.order())
    says(answer, rf"Accepted at {TIME}; waiting for a worker of lane orders to take create_order\.")
    assert [wait["kind"] for wait in answer["waiting_for"]] == ["worker"]
    assert (answer["waiting_for"][0]["since"] is not None, answer["waiting_for"][0]["ends_by"]) == (
        True,
        None,
    )
    assert answer["next"]["what"] == "a worker of lane orders takes create_order"


def test_given_nobody_serves_the_lane_when_accepted_then_said_with_who_was_seen_last(
    shop: Shop,
) -> None:
    job_id = shop.order()
    says(
        told(shop, job_id),
        rf"Accepted at {TIME}; create_order waits: no live worker serves lane orders; none was ever seen: .*",
    )
    worker(shop, "b", "orders")
    worker(shop, "c", "mail")
    shop.let_pass(120)
    leases.worker_seen(shop.db, "boot-c")
    says(
        told(shop, job_id),
        rf"Accepted at {TIME}; create_order waits: no live worker serves lane orders; last seen {TIME} on host b\.",
    )


def test_given_only_workers_of_another_version_when_accepted_then_said(shop: Shop) -> None:
    worker(shop, "a", "orders", digests=["0123456789abcdef"])
    answer = told(shop, shop.order())
    assert "has definition" in answer["sentence"]
    assert answer["waiting_for"][0]["kind"] == "version"


def test_given_running_step_when_asked_then_named_with_attempt_and_message(shop: Shop) -> None:
    seen: list[dict[str, Any]] = []

    def look(ctx: Any) -> str:
        ctx.progress(0.4, "page 4 of 10")
        seen.append(told(shop, ctx.job_id))
        return "done"

    shop.service.script["create_order", "action"] += [RuntimeError("the service hung up"), look]
    job_id = shop.order()
    deliver(shop, "create_order")
    answer = told(shop, job_id)
    says(
        answer,
        rf"create_order did not succeed \(the service hung up\), attempt 1 of 5; it is tried again at {TIME}\.",
    )
    assert answer["next"]["at"] == answer["waiting_for"][0]["ends_by"]
    shop.let_pass(61)
    shop.sweep()
    worker(shop, "a", "orders")
    says(
        told(shop, job_id),
        r"Waiting for a worker of lane orders to take create_order for attempt 2 of 5; the last attempt: the service hung up\.",
    )
    deliver(shop, "create_order")
    says(
        seen[0],
        rf"Running create_order, attempt 2 of 5, first begun {TIME} \(page 4 of 10\); the last attempt: the service hung up\.",
    )


def test_given_not_yet_when_asked_then_looks_again(shop: Shop) -> None:
    shop.service.script["create_order", "action"].append(lambda ctx: NotYet(after=30))
    job_id = shop.order()
    deliver(shop, "create_order")
    says(told(shop, job_id), rf"create_order is not done yet and checks again at {TIME}\.")


def test_given_declined_card_when_undone_then_the_words_of_the_service_and_what_became_of_the_rest(
    shop: Shop,
) -> None:
    shop.service.script["charge_card", "action"].append(Rejected("the bank declined the card"))
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    says(
        told(shop, job_id),
        r"Undoing: the bank declined the card \(charge_card\)\. .*release_stock.*",
    )
    shop.land(job_id)
    says(
        told(shop, job_id),
        r"Failed: the bank declined the card \(charge_card\)\. Undone: nothing is left of it; stock released and order voided; "
        r"not done: charge the card\.",
    )


def test_given_cancel_when_undone_then_who_asked_and_the_money_is_back(shop: Shop) -> None:
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    shop.cancel(job_id)
    shop.land(job_id)
    says(
        told(shop, job_id),
        r"Cancelled by test\. Undone: nothing is left of it; card refunded \(the refund shows on the statement beside the charge\), "
        r"stock released and order voided\.",
    )


def test_given_cancel_before_anything_ran_when_ended_then_nothing_had_happened(shop: Shop) -> None:
    job_id = shop.order()
    shop.cancel(job_id)
    says(
        told(shop, job_id),
        r"Cancelled by test\. Nothing had taken effect, so nothing is left of it\.",
    )


def test_given_deadline_when_passed_then_said(shop: Shop) -> None:
    job_id = shop.order(deadline_s=30)
    deliver(shop, "create_order")
    shop.let_pass(31)
    shop.sweep()
    shop.land(job_id)
    says(
        told(shop, job_id),
        r"Failed: its deadline passed\. Undone: nothing is left of it; order voided.*",
    )


def test_given_late_cancel_when_asked_then_too_late_is_said(shop: Shop) -> None:
    shop.service.script["send_receipt", "action"].append(RuntimeError("mail server away"))
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card", "confirm_order", "send_receipt")
    shop.cancel(job_id)
    says(
        told(shop, job_id),
        r"send_receipt did not succeed \(mail server away\), .*; a cancel was requested too late: it takes effect only if a step fails\.",
    )


def test_given_undo_out_of_attempts_when_asked_then_a_person_and_what_he_can_do(shop: Shop) -> None:
    shop.service.script["charge_card", "undo"] += [RuntimeError("bank: 503")] * 2
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    shop.cancel(job_id)
    shop.land(job_id)
    answer = told(shop, job_id)
    says(
        answer,
        r"A person must decide: refund_card gave up after 2 attempts \(bank: 503\)\. An operator can redrive it, mark it done, "
        r"or waive it with a reason\. It has no owner yet\..*",
    )
    assert answer["waiting_for"][0]["kind"] == "person"
    assert answer["waiting_for"][0]["step"] == "charge_card"
    shop.rung(
        decisions.waive(
            shop.db, decisions.letter_of(shop.db, job_id, "charge_card"), "op", "written off"
        )
    )
    shop.land(job_id)
    says(
        told(shop, job_id),
        r"Cancelled by test\. Undone but for card charged \(waived by a person\); stock released and order voided\.",
    )


def test_given_undo_past_its_time_when_asked_then_why_and_the_lists_offer_a_retry_alone(
    shop: Shop,
) -> None:
    shop.service.script["charge_card", "undo"].append(RuntimeError("bank: 503"))
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    shop.cancel(job_id)
    with shop.db.begin() as connection:
        late = update(jobs).where(jobs.c.id == job_id)
        connection.execute(late.values(undo_deadline_at=datetime(2020, 1, 1, tzinfo=UTC)))
    shop.sweep()

    answer = told(shop, job_id)

    assert "An operator can redrive it with a reason." in answer["sentence"]
    assert answer["next"]["what"] == "an operator decides: redrive it"
    with shop.db.connect() as connection:
        (letter,) = letters_of_job(connection, job_id)
    assert letter["actions"] == ["redrive"]


def test_given_history_of_an_earlier_release_when_read_then_under_the_names_of_today(
    shop: Shop,
) -> None:
    shop.service.script["charge_card", "undo"] += [RuntimeError("bank: 503")] * 2
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    shop.cancel(job_id)
    shop.land(job_id)
    before = told(shop, job_id)
    with shop.db.begin() as connection:
        for earlier, event in EARLIER_NAMES.items():
            of_today = update(history).where(history.c.event == event)
            connection.execute(of_today.values(event=earlier))

    after = told(shop, job_id)
    read = [line["event"] for line in history_view(shop.db, job_id, shop.tenant)["items"]]

    assert after == before
    assert HistoryEvent.COMPENSATION_STARTED in read
    assert not set(read) & set(EARLIER_NAMES)


def test_given_completed_job_when_asked_then_what_happened(shop: Shop) -> None:
    job_id = shop.order()
    shop.land(job_id)
    answer = told(shop, job_id)
    says(
        answer,
        rf"Completed at {TIME}: order created, stock reserved, card charged, order confirmed and receipt sent\.",
    )
    assert answer["waiting_for"] == []


def test_given_another_tenant_when_asked_then_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        why(shop.db, shop.order(), "018f0000-0000-7000-8000-000000000001")
