"""The HTTP contract of jobs, on both databases."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from structlog.testing import capture_logs

from surefoot.app.saga.outcomes import Rejected
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import GOOD, Caller, Shop

JOBS = "/api/v1/jobs"


@pytest.fixture
def shop_url(ready_url: str) -> str:
    return ready_url  # on each database


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), (
        answer.get_data(as_text=True)
    )
    body: dict[str, Any] = answer.get_json()
    assert (body["type"], body["status"]) == (f"/problems/{slug}", status)
    assert body["title"]
    assert body["detail"]
    assert body["instance"]
    assert len(body["trace_id"]) == 32
    return body


# --- submit and read -----------------------------------------------------------------------------------------------
def test_given_good_order_when_posted_then_202_with_where_and_when_to_look(
    shop: Shop, user: Caller
) -> None:
    answer = user.submit(tags=["web"], deadline_seconds=60)
    body = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{JOBS}/{body['id']}" == body["links"]["self"]
    assert answer.headers["Retry-After"] == "1"
    assert "Prefer" in answer.headers["Vary"]
    assert (body["state"], body["tags"]) == ("pending", ["web"])
    assert shop.broker.waiting
    shop.land(body["id"])
    done = user.get(answer.headers["Location"])
    assert (done.status_code, done.get_json()["state"], done.headers.get("Retry-After")) == (
        200,
        "completed",
        None,
    )


def test_given_trace_of_the_caller_when_posted_then_one_line_has_it_beside_the_job_that_workers_name(
    shop: Shop, user: Caller
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with capture_logs() as lines:
        made = user.submit(headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}).get_json()
        job = made["id"]
        user.get(f"{JOBS}/{job}/why")
        user.get(f"{JOBS}/nothing/why")
    (posted, asked, missed) = [line for line in lines if line["event"] == "request"]
    assert (posted["trace_id"], posted["job"], posted["name"]) == (trace, job, made["name"])
    assert made["trace_id"] == trace
    assert asked["job"] == job
    assert asked["trace_id"] != trace
    assert "job" not in missed


def test_given_unchanged_job_when_asked_with_its_tag_then_304_and_after_a_change_200(
    shop: Shop, user: Caller
) -> None:
    where = user.submit().headers["Location"]
    first = user.get(where)
    assert first.headers["ETag"].startswith('"')
    again = user.get(where, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")
    assert "Prefer" in again.headers["Vary"]
    shop.drain()
    assert user.get(where, **{"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_given_broker_down_when_posted_then_202_and_the_relay_brings_it_home(
    shop: Shop, user: Caller
) -> None:
    shop.broker.down = True
    answer = user.submit()
    assert answer.status_code == 202
    shop.broker.down = False
    shop.let_pass(2)
    shop.sweep()
    assert shop.land(answer.get_json()["id"]) == "completed"


def test_given_wish_to_wait_when_job_has_ended_then_200_at_once_and_said(
    shop: Shop, user: Caller
) -> None:
    where = user.submit().headers["Location"]
    shop.drain()
    answer = user.get(where, Prefer="wait=10")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=10")


def test_given_wish_to_wait_when_job_does_not_move_then_answered_after_it(user: Caller) -> None:
    answer = user.submit(headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")


def test_given_every_place_to_wait_taken_when_asked_then_answered_at_once(
    app: Flask, user: Caller
) -> None:
    waiters = app.extensions[EXTENSION].waiters
    taken = 0
    while waiters.acquire(blocking=False):
        taken += 1
    assert taken == 4
    answer = user.submit(headers={"Prefer": "wait=10"})
    assert (answer.status_code, "Preference-Applied" in answer.headers) == (202, False)


def test_given_post_that_waits_when_job_ends_then_200(shop: Shop, app: Flask, user: Caller) -> None:
    key = "k-1"
    first = user.submit(headers={"Idempotency-Key": key})
    worker = threading.Thread(target=shop.drain)
    worker.start()
    answer = user.submit(headers={"Idempotency-Key": key, "Prefer": "wait=10"})
    worker.join()
    assert (answer.status_code, answer.get_json()["state"]) == (200, "completed")
    assert answer.get_json()["id"] == first.get_json()["id"]


# --- idempotency ---------------------------------------------------------------------------------------------------
def test_given_same_key_and_body_when_posted_again_then_same_job_and_said(user: Caller) -> None:
    first = user.submit(headers={"Idempotency-Key": '"k-1"'})
    second = user.submit(headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.get_json()["id"] == first.get_json()["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"


def test_given_same_key_and_other_body_when_posted_then_422_names_the_job(user: Caller) -> None:
    first = user.submit(headers={"Idempotency-Key": "k-1"})
    body = problem(
        user.submit(GOOD | {"quantity": 3}, headers={"Idempotency-Key": "k-1"}), 422, "key-reused"
    )
    assert body["job"] == f"{JOBS}/{first.get_json()['id']}"


def test_given_same_key_of_another_tenant_when_posted_then_a_job_of_its_own(
    shop: Shop, app: Flask, user: Caller
) -> None:
    other = Caller(app, shop.key(tenant="other"))
    assert (
        user.submit(headers={"Idempotency-Key": "k-1"}).get_json()["id"]
        != other.submit(headers={"Idempotency-Key": "k-1"}).get_json()["id"]
    )


# --- lists ---------------------------------------------------------------------------------------------------------
def test_given_jobs_when_listed_then_pages_follow_next(shop: Shop, user: Caller) -> None:
    made = [user.submit(tags=["t"]).get_json()["id"] for _ in range(5)]
    seen: list[str] = []
    path: str | None = f"{JOBS}?limit=2&tag=t&state=pending&saga=shop"
    while path:
        answer = user.get(path)
        page = answer.get_json()
        seen += [item["id"] for item in page["items"]]
        link = answer.headers.get("Link")
        assert (link is None) == (page["next"] is None)
        path = link.partition("<")[2].partition(">")[0] if link else None
    assert seen == made[::-1]
    assert user.get(f"{JOBS}?tag=u").get_json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "state=",
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=-1",
        "limit=1e3",
        "tag=%00",
        "tag=" + "x" * 65,
    ]
    + ["saga=%0a", "stat=pending", "tenant=other", "limit=" + "9" * 5000],
)
def test_given_bad_filter_when_listed_then_422_names_it(user: Caller, query: str) -> None:
    body = problem(user.get(f"{JOBS}?{query}"), 422, "invalid-input")
    assert body["errors"][0]["parameter"] == query.partition("=")[0]


def test_given_cursor_of_another_list_or_of_other_filters_when_used_then_400_names_it_and_its_own_list_takes_it(
    shop: Shop, user: Caller, operator: Caller
) -> None:
    mine = [shop.order() for _ in range(3)]
    cursor = user.get(f"{JOBS}?limit=1&saga=shop").get_json()["next"]
    again = user.get(f"{JOBS}?limit=2&saga=shop&cursor={cursor}").get_json()["items"]
    assert [item["id"] for item in again] == [mine[1], mine[0]]
    foreign = [
        f"{JOBS}?cursor={cursor}",
        f"{JOBS}?saga=other&cursor={cursor}",
        f"{JOBS}?saga=shop&state=pending&cursor={cursor}",
    ]
    foreign += [
        f"/api/v1/{name}?cursor={cursor}"
        for name in ("dead-letters", "quarantine", "reconciliations")
    ]
    forged = [f"{JOBS}?cursor={text}" for text in ("abc", "", "x" * 513)]
    for address in (*foreign, *forged):
        body = problem(operator.get(address), 400, "invalid-cursor")
        assert body["errors"][0]["parameter"] == "cursor", address
        assert ("another list or to other filters" in body["detail"]) == (address in foreign), (
            address
        )


# --- what people decide --------------------------------------------------------------------------------------------
def test_given_running_job_when_cancelled_then_202_and_it_lands_undone_with_words(
    shop: Shop, user: Caller
) -> None:
    where = user.submit().headers["Location"]
    for step in ("create_order", "reserve_stock", "charge_card"):
        shop.deliver(shop.next(f"shop.{step}"))
    answer = user.post(f"{where}/cancel")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "compensating")
    assert answer.get_json()["message"]
    assert user.post(f"{where}/cancel", {}).status_code == 202
    shop.land(answer.get_json()["id"])
    assert "card refunded" in user.get(f"{where}/why").get_json()["sentence"]
    problem(user.post(f"{where}/cancel"), 409, "conflict")
    problem(user.post(f"{where}/cancel", {"reason": "x"}), 422, "invalid-input")


def test_given_ended_job_when_redriven_then_a_new_one_that_names_it(
    shop: Shop, user: Caller
) -> None:
    shop.service.script["charge_card", "action"].append(Rejected("the bank declined the card"))
    job_id = user.submit().get_json()["id"]
    problem(user.post(f"{JOBS}/{job_id}/resubmit"), 409, "conflict")
    shop.land(job_id)
    answer = user.post(f"{JOBS}/{job_id}/resubmit")
    again = answer.get_json()
    assert (answer.status_code, again["resubmission_of"]) == (202, job_id)
    assert answer.headers["Location"] == f"{JOBS}/{again['id']}" != f"{JOBS}/{job_id}"
    assert shop.land(again["id"]) == "completed"


def attention(shop: Shop, user: Caller) -> str:
    shop.service.script["charge_card", "undo"] += [RuntimeError("bank: 503")] * 2
    job_id = str(user.submit().get_json()["id"])
    for step in ("create_order", "reserve_stock", "charge_card"):
        shop.deliver(shop.next(f"shop.{step}"))
    user.post(f"{JOBS}/{job_id}/cancel")
    assert shop.land(job_id) == "attention"
    return job_id


@pytest.mark.parametrize(
    ("word", "outcome"),
    [("redrive", "undone"), ("mark-done", "undone"), ("waive", "undone_partly")],
)
def test_given_attention_when_operator_decides_then_the_job_lands(
    shop: Shop, user: Caller, operator: Caller, word: str, outcome: str
) -> None:
    job_id = attention(shop, user)
    path = f"{JOBS}/{job_id}/effects/charge_card/{word}"
    problem(user.post(path, {"reason": "I say so"}), 403, "forbidden")
    problem(operator.post(path, {}), 422, "invalid-input")
    problem(
        operator.post(f"{JOBS}/{job_id}/effects/nothing/{word}", {"reason": "x"}), 404, "not-found"
    )
    problem(
        operator.post(f"{JOBS}/{job_id}/effects/reserve_stock/{word}", {"reason": "x"}),
        409,
        "conflict",
    )
    answer = operator.post(path, {"reason": "the bank said so"})
    assert (answer.status_code, answer.get_json()["state"]) == (202, "compensating")
    assert shop.land(job_id) == "cancelled"
    assert user.get(f"{JOBS}/{job_id}").get_json()["outcome"] == outcome
    problem(operator.post(path, {"reason": "again"}), 409, "conflict")
    assert "the bank said so" in user.get(f"{JOBS}/{job_id}/history").get_data(as_text=True)


# --- the rest ------------------------------------------------------------------------------------------------------
def test_given_job_when_history_and_effects_are_read_then_items(shop: Shop, user: Caller) -> None:
    job_id = user.submit().get_json()["id"]
    shop.drain()
    page = user.get(f"{JOBS}/{job_id}/history?limit=2").get_json()
    assert (len(page["items"]), page["next"]) == (2, "2")
    assert user.get(f"{JOBS}/{job_id}/history?cursor=2").get_json()["items"][0]["seq"] == 3
    assert [item["step"] for item in user.get(f"{JOBS}/{job_id}/effects").get_json()["items"]][
        :2
    ] == ["create_order", "reserve_stock"]


def test_given_sagas_when_read_then_listed_and_one_in_full(user: Caller) -> None:
    assert "shop" in [item["name"] for item in user.get("/api/v1/sagas").get_json()["items"]]
    assert user.get("/api/v1/sagas/shop").get_json()["input"]["additionalProperties"] is False
    problem(user.get("/api/v1/sagas/nope"), 404, "not-found")


def test_given_workers_when_asked_then_only_the_platform_sees_them(
    operator: Caller, platform: Caller
) -> None:
    problem(operator.get("/api/v1/workers"), 403, "forbidden")
    assert platform.get("/api/v1/workers").get_json() == {"items": [], "lanes": {}}


def test_given_no_key_when_health_is_asked_then_answered_and_without_broker_still_ready(
    app: Flask,
) -> None:
    nobody = Caller(app, None)
    assert nobody.get("/livez").get_json() == {"status": "alive"}
    assert nobody.get("/readyz").get_json() == {"status": "ready"}
    health = nobody.get("/healthz")
    assert (health.status_code, health.get_json()["status"], health.get_json()["broker"]) == (
        200,
        "degraded",
        "unreachable",
    )
