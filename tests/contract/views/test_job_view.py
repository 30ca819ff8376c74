"""A job as it is shown, at each point of its way, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from surefoot.app.access import tenants
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.errors import NotFound
from surefoot.app.saga.outcomes import NotYet, Rejected
from surefoot.app.store.views import (
    effects_view,
    history_view,
    job_view,
    list_jobs,
    saga_view,
    sagas_view,
    workers_view,
)
from tests.contract.views.shop import GOOD, Shop

MEMBERS = {
    "id", "name", "saga", "version", "state", "outcome", "left_over", "reason", "resubmission_of", "trace_id", "progress", "steps",
    "result", "error", "queue", "resubmitted_as",
    "actions", "summary", "trouble", "attention", "dead_letters", "tags", "created_at", "started_at", "finished_at", "links",
}  # fmt: skip


def show(shop: Shop, job_id: str) -> dict[str, Any]:
    return job_view(shop.db, job_id, shop.tenant)


def steps(view: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in view["steps"]}


def undos(view: dict[str, Any]) -> dict[str, str]:
    return {
        step["name"]: step["compensation"]["state"]
        for step in view["steps"]
        if step["compensation"]
    }


def deliver(shop: Shop, *steps: str) -> None:
    for step in steps:
        shop.deliver(shop.next(f"shop.{step}"))


def test_given_accepted_job_when_shown_then_pending_with_its_place(shop: Shop) -> None:
    first, second = shop.order(), shop.order(tags=("a", "b"))
    view = show(shop, second)
    assert set(view) == MEMBERS
    assert (view["state"], view["outcome"], view["tags"], view["started_at"]) == (
        "pending",
        "open",
        ["a", "b"],
        None,
    )
    assert (show(shop, first)["queue"], view["queue"]) == (
        {"position": 1, "eta_seconds": None},
        {"position": 2, "eta_seconds": None},
    )
    assert [step["name"] for step in view["steps"]] == [
        "create_order",
        "reserve_stock",
        "charge_card",
        "confirm_order",
        "send_receipt",
    ]
    assert steps(view) == {
        "create_order": "queued", "reserve_stock": "pending", "charge_card": "pending", "confirm_order": "pending",
        "send_receipt": "pending",
    }  # fmt: skip
    assert view["steps"][2]["compensation"] == {
        "state": "not_needed", "attempts": 0, "fidelity": "equivalent", "note": "the refund shows on the statement beside the charge",
    }  # fmt: skip
    assert view["steps"][3]["compensation"] is None
    assert view["name"].startswith("shop-")
    assert view["links"]["cancel"] == f"/api/v1/jobs/{second}/cancel"


def test_given_secret_in_input_when_anything_is_shown_then_it_is_not(shop: Shop) -> None:
    shop.service.script["charge_card", "action"].append(
        Rejected(f"the bank declined {GOOD['card']}")
    )
    job_id = shop.order()
    shop.land(job_id)
    shown = [
        show(shop, job_id),
        history_view(shop.db, job_id, None),
        effects_view(shop.db, job_id, None),
        list_jobs(shop.db, None),
    ]
    assert "declined" in str(shown)
    assert GOOD["card"] not in str(shown)


def test_given_completed_job_when_shown_then_done_with_result_of_its_last_step(shop: Shop) -> None:
    job_id = shop.order()
    shop.land(job_id)
    view = show(shop, job_id)
    assert (view["state"], view["outcome"], view["result"]) == (
        "completed",
        "done",
        "send_receipt done",
    )
    assert view["progress"] == {"fraction": 1.0, "message": "5 of 5 steps done"}
    assert view["created_at"] <= view["started_at"] <= view["finished_at"]
    assert set(steps(view).values()) == {"completed"}
    assert (view["queue"], view["error"], view["left_over"]) == (None, None, [])


def test_given_declined_card_when_undone_then_told_with_every_compensation(shop: Shop) -> None:
    shop.service.script["charge_card", "action"].append(Rejected("the bank declined the card"))
    job_id = shop.order()
    shop.land(job_id)
    view = show(shop, job_id)
    assert (view["state"], view["outcome"], view["reason"]) == (
        "failed",
        "undone",
        "the bank declined the card",
    )
    assert view["error"]["step"] == "charge_card"
    assert steps(view)["charge_card"] == "failed"
    assert steps(view)["confirm_order"] == "not_started"
    assert undos(view) == {
        "create_order": "completed",
        "reserve_stock": "completed",
        "charge_card": "not_needed",
    }
    assert view["steps"][2]["error"]["message"] == "the bank declined the card"


def test_given_cancel_when_undone_then_effects_say_how_well(shop: Shop) -> None:
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    shop.cancel(job_id)
    assert show(shop, job_id)["state"] == "compensating"
    assert show(shop, job_id)["progress"] == {"fraction": 0.0, "message": "0 of 3 steps undone"}
    shop.land(job_id)
    assert (show(shop, job_id)["state"], show(shop, job_id)["outcome"]) == ("cancelled", "undone")
    effects = effects_view(shop.db, job_id, shop.tenant)
    by_step = {item["step"]: item for item in effects["items"]}
    assert by_step["charge_card"] == {
        "step": "charge_card",
        "title": "charge the card",
        "item": "",
        "key": f"{job_id}:charge_card::action",
        "outcome": "done",
        "fidelity": "equivalent",
        "undo": {
            "state": "done",
            "attempts": 1,
            "note": "the refund shows on the statement beside the charge",
        },
    }
    assert (by_step["send_receipt"]["outcome"], by_step["send_receipt"]["fidelity"]) == (
        "none",
        "irreversible",
    )
    assert (
        effects["summary"]["sentence"]
        == "compensated: 2 exact, 1 equivalent (refund_card), 0 left over"
    )


def test_given_waived_undo_when_ended_then_undone_partly_with_the_list(shop: Shop) -> None:
    shop.service.script["charge_card", "undo"] += [RuntimeError("bank down")] * 2
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock", "charge_card")
    shop.cancel(job_id)
    assert shop.land(job_id) == "attention"
    assert (show(shop, job_id)["state"], show(shop, job_id)["outcome"], undos(show(shop, job_id))["charge_card"]) == (
        "attention", "open", "failed",
    )  # fmt: skip
    shop.rung(
        decisions.waive(
            shop.db,
            decisions.letter_of(shop.db, job_id, "charge_card"),
            "op",
            "the customer keeps it",
        )
    )
    shop.land(job_id)
    view = show(shop, job_id)
    assert (view["state"], view["outcome"], view["left_over"]) == (
        "cancelled",
        "undone_partly",
        ["charge_card"],
    )
    assert undos(view)["charge_card"] == "waived"


def test_given_failed_jobs_when_listed_by_outcome_then_each_by_whether_something_is_left(
    shop: Shop,
) -> None:
    landed = []
    for failures in (2, 0):
        shop.service.script["charge_card", "undo"] += [RuntimeError("bank down")] * failures
        shop.service.script["confirm_order", "action"].append(Rejected("sold out"))
        landed.append(shop.order())
        shop.land(landed[-1])
    left, whole = landed
    shop.rung(
        decisions.waive(
            shop.db,
            decisions.letter_of(shop.db, left, "charge_card"),
            "op",
            "the customer keeps it",
        )
    )
    shop.land(left)
    for word, wanted in (("undone_partly", [left]), ("undone", [whole]), ("failed", [whole, left])):
        rows, _ = list_jobs(shop.db, shop.tenant, state=word)
        assert [row["id"] for row in rows] == wanted, word
        assert {row["outcome"] for row in rows} <= {word, "undone", "undone_partly"}


def test_given_back_off_when_shown_then_running_and_given_a_wait_then_waiting(shop: Shop) -> None:
    shop.service.script["create_order", "action"] += [
        RuntimeError("later"),
        lambda ctx: NotYet(after=30),
    ]
    job_id = shop.order()
    deliver(shop, "create_order")
    assert (show(shop, job_id)["state"], steps(show(shop, job_id))["create_order"]) == (
        "running",
        "waiting",
    )
    shop.let_pass(61)
    shop.sweep()
    deliver(shop, "create_order")
    assert (show(shop, job_id)["state"], show(shop, job_id)["queue"]) == ("waiting", None)


def test_given_each_state_when_filtered_then_the_list_derives_it_as_the_job_does(
    shop: Shop,
) -> None:
    shop.service.script["create_order", "action"] += [
        lambda ctx: NotYet(after=30),
        RuntimeError("later"),
    ]
    waiting = shop.order()
    deliver(shop, "create_order")
    running = shop.order()
    deliver(shop, "create_order")
    cancelled = shop.order()
    shop.cancel(cancelled)
    shop.drain()
    completed = shop.order()
    shop.drain()
    pending = shop.order()
    ids = {
        "waiting": waiting,
        "running": running,
        "cancelled": cancelled,
        "completed": completed,
        "pending": pending,
    }
    for state, job_id in ids.items():
        assert show(shop, job_id)["state"] == state
        assert [item["id"] for item in list_jobs(shop.db, shop.tenant, state=state)[0]] == [
            job_id
        ], state
    assert list_jobs(shop.db, shop.tenant, state="attention") == ([], None)
    everything, _ = list_jobs(shop.db, shop.tenant)
    assert [item["id"] for item in everything] == list(reversed(ids.values()))
    assert {item["id"]: item["state"] for item in everything} == {
        job_id: state for state, job_id in ids.items()
    }


def test_given_another_tenant_or_nonsense_when_read_then_not_found(shop: Shop) -> None:
    job_id = shop.order()
    other = tenants.ensure(shop.db, "other")
    for view in (job_view, history_view, effects_view):
        for asked, tenant in (
            (job_id, other),
            ("no-id", shop.tenant),
            ("018f0000-0000-7000-8000-000000000001", None),
            ("", None),
        ):
            with pytest.raises(NotFound):
                view(shop.db, asked, tenant)
        assert view(shop.db, job_id, None)
    assert list_jobs(shop.db, other) == ([], None)


def test_given_many_jobs_when_paged_then_each_once_newest_first(shop: Shop) -> None:
    made = [shop.order(tags=("even",) if n % 2 == 0 else ()) for n in range(7)]
    for tenant in (shop.tenant, None):
        for filters, wanted in (
            ({}, made),
            ({"tag": "even"}, made[::2]),
            ({"saga": "shop"}, made),
            ({"saga": "other"}, []),
        ):
            seen: list[str] = []
            after = None
            while True:
                items, after = list_jobs(shop.db, tenant, limit=2, after=after, **filters)
                assert len(items) <= 2
                seen += [item["id"] for item in items]
                if after is None:
                    break
            assert seen == wanted[::-1]


def test_given_more_jobs_than_a_filtered_page_looks_at_when_paged_then_it_says_where_to_go_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surefoot.app.store.views.job_lists.SCAN_ROWS", 3)
    rare = shop.order(tags=("web",))
    shop.drain()
    for _ in range(6):
        shop.order(tags=("web",))
    found: list[str] = []
    after, pages = None, 0
    while True:
        items, after = list_jobs(shop.db, shop.tenant, tag="web", state="completed", after=after)
        found += [item["id"] for item in items]
        pages += 1
        if after is None:
            break
    assert (found, pages) == ([rare], 3)


def test_given_a_list_when_read_then_statements_do_not_grow_with_it(shop: Shop) -> None:
    from sqlalchemy import event

    counted: list[str] = []
    event.listen(shop.db, "before_cursor_execute", lambda *args: counted.append(args[2]))
    sizes = []
    for _ in range(2):
        for _ in range(3):
            shop.order()
        counted.clear()
        list_jobs(shop.db, shop.tenant)
        sizes.append(len(counted))
    assert sizes[0] == sizes[1] <= 4


def test_given_history_when_read_then_in_order_and_in_pages(shop: Shop) -> None:
    job_id = shop.order()
    shop.land(job_id)
    whole = history_view(shop.db, job_id, shop.tenant)
    assert [item["seq"] for item in whole["items"]] == list(range(1, len(whole["items"]) + 1))
    assert (whole["items"][0]["event"], whole["items"][-1]["event"], whole["next"]) == (
        "submitted",
        "job_completed",
        None,
    )
    page = history_view(shop.db, job_id, shop.tenant, limit=2)
    assert page["next"] == 2
    assert history_view(shop.db, job_id, shop.tenant, after=2, limit=2)["items"][0]["seq"] == 3


def test_given_sagas_when_read_then_schema_graph_and_how_each_step_is_undone(shop: Shop) -> None:
    assert [item["name"] for item in sagas_view(shop.db)["items"]] == ["shop"]
    view = saga_view(shop.db, "shop")
    assert view["input"]["properties"]["card"]["writeOnly"] is True
    assert ["charge_card", "confirm_order"] in view["graph"]["edges"]
    table = {
        row["step"]: (row["undo"], row["fidelity"], row["why"]) for row in view["compensations"]
    }
    assert table["charge_card"] == ("refund_card", "equivalent", None)
    assert table["confirm_order"] == (None, None, "the point of no return")
    assert table["send_receipt"] == (None, "irreversible", "after the point of no return")
    with pytest.raises(NotFound):
        saga_view(shop.db, "nope")


def test_given_workers_when_read_then_live_ones_count_for_their_lanes(shop: Shop) -> None:
    leases.register_worker(
        shop.db,
        "b1",
        WorkerProcess(host="a", pid=1, lanes=["orders", "mail"], digests=["d"], concurrency=2),
    )
    leases.register_worker(
        shop.db,
        "b2",
        WorkerProcess(host="b", pid=2, lanes=["orders"], digests=["d"], concurrency=2),
    )
    leases.worker_stopped(shop.db, "b2")
    view = workers_view(shop.db)
    assert view["lanes"] == {"mail": 1, "orders": 1}
    assert {item["id"]: item["live"] for item in view["items"]} == {"b1": True, "b2": False}
