"""The pages: signing in, one job from three clicks, a job followed to its end, and what keeps a browser safe."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from surefoot.app.access import keys
from surefoot.app.access.tenants import ensure
from surefoot.app.errors import StoreUnavailable
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.ids import operation_id
from surefoot.app.store.tables import dead_letters, history, jobs, operations
from surefoot.app.store.views import counts, job_view, list_jobs
from surefoot.web.pages import job as job_page
from surefoot.web.pages import turning
from surefoot.web.pages.jobs import BADGES
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import GOOD, Caller, Shop
from tests.integration.test_http_polling import statements
from tests.support.gallery import Gallery

FORM = {
    "saga": "shop",
    "f.sku": "apple",
    "f.quantity": "2",
    "f.amount_cents": "12.50",
    "f.card": GOOD["card"],
    "f.note": "",
}


@pytest.fixture(autouse=True)
def _no_hour_ends_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_page, "WHY_ANEW_S", 1e9)


def signed_in(app: Flask, key: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"key": key, "next": "/"}).status_code == 303
    return client


@pytest.fixture
def page(shop: Shop, app: Flask) -> FlaskClient:
    return signed_in(app, shop.key("operator"))


def form_key(client: FlaskClient) -> str:
    found = re.search(
        r'name="key" value="([^"]+)"', client.get("/?saga=shop").get_data(as_text=True)
    )
    assert found
    return found.group(1)


def jobs_of(shop: Shop) -> list[dict[str, Any]]:
    return list_jobs(shop.db, shop.tenant)[0]


# --- signing in ------------------------------------------------------------------------------------------------------
def test_given_nobody_when_a_page_is_asked_then_to_sign_in_and_back(shop: Shop, app: Flask) -> None:
    client = app.test_client()
    answer = client.get("/jobs/018f0000-0000-7000-8000-000000000001")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in?next=/jobs/018f0000-0000-7000-8000-000000000001"
    assert 'value="/jobs/018f' in client.get(answer.headers["Location"]).get_data(as_text=True)


def test_given_key_when_signed_in_then_cookie_that_scripts_and_other_sites_cannot_use(
    shop: Shop, app: Flask
) -> None:
    key = shop.key()
    client = app.test_client()
    wrong = client.post("/sign-in", data={"key": "sf_wrong"})
    assert (wrong.status_code, "Set-Cookie" in wrong.headers) == (401, False)
    answer = client.post("/sign-in", data={"key": f" {key} "})
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert key not in cookie
    assert client.get("/").status_code == 200
    assert (
        "Secure"
        in client.post("/sign-in", data={"key": key}, base_url="https://localhost").headers[
            "Set-Cookie"
        ]
    )
    client.post("/sign-out")
    assert client.get("/").status_code == 303


def test_given_revoked_key_or_forged_cookie_when_asked_then_signed_out(
    shop: Shop, app: Flask
) -> None:
    key_id, text = keys.create(shop.db, "default", "user", "n")
    client = signed_in(app, text)
    keys.revoke(shop.db, key_id)
    assert client.get("/").status_code == 303
    client.set_cookie("surefoot_session", key_id)
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
    ],
)
def test_given_change_by_cookie_when_it_comes_from_elsewhere_then_refused(
    shop: Shop, page: FlaskClient, headers: dict[str, str], taken: bool
) -> None:
    job_id = shop.order()
    for path, body in (
        ("/jobs", {"data": FORM | {"key": form_key(page)}}),
        (f"/api/v1/jobs/{job_id}/cancel", {}),
    ):
        answer = page.post(path, headers=headers, **body)  # type: ignore[arg-type]
        assert (answer.status_code != 403) == taken
    sign_in = page.post("/sign-in", data={"key": "x"}, headers=headers)
    assert (sign_in.status_code != 403) == taken


# --- one job from three clicks ------------------------------------------------------------------------------------------
def test_given_form_when_sent_three_times_then_one_job(shop: Shop, page: FlaskClient) -> None:
    data = FORM | {"key": form_key(page)}
    answers = [page.post("/jobs", data=data) for _ in range(3)]
    made = jobs_of(shop)
    assert len(made) == 1
    where = f"/jobs/{made[0]['id']}"
    assert {answer.headers["Location"] for answer in answers} == {where}
    trace = answers[0].headers[
        "X-Trace-Id"
    ]  # of the request that made it: the others only found it
    assert made[0]["trace_id"] == trace
    assert f"trace {trace}" in page.get(where).get_data(as_text=True)
    assert shop.job(made[0]["id"]).input == {
        "sku": "apple",
        "quantity": 2,
        "amount_cents": 1250,
        "card": GOOD["card"],
    }


def test_given_drawn_form_when_drawn_again_then_another_key(page: FlaskClient) -> None:
    assert form_key(page) != form_key(page)


def test_given_faults_when_sent_then_beside_their_fields_with_what_was_typed(
    shop: Shop, page: FlaskClient
) -> None:
    key = form_key(page)
    answer = page.post(
        "/jobs", data=FORM | {"key": key, "f.quantity": "5000", "f.sku": "<b>apple</b>"}
    )
    text = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert re.search(r'value="5000"[^>]*aria-invalid="true"', text, re.DOTALL)
    assert "&lt;b&gt;apple&lt;/b&gt;" in text
    assert "<b>apple" not in text
    assert f'value="{key}"' in text
    assert jobs_of(shop) == []
    assert "<title>Check the form: New shop</title>" in text
    assert '<a href="#f-2">Quantity</a>: Must be at most 1000.' in text
    assert text.count("autofocus") == 1
    unread = page.post("/jobs", data=FORM | {"key": key, "f.quantity": "two"})
    assert (unread.status_code, "Must be a whole number." in unread.get_data(as_text=True)) == (
        422,
        True,
    )
    above = page.post("/jobs", data=FORM | {"key": key, "f.amount_cents": "1000.01"})
    told = above.get_data(as_text=True)
    assert (above.status_code, "Must be at most 1,000.00." in told) == (422, True)
    assert page.post("/jobs", data=FORM | {"key": key}).status_code == 303


def test_given_used_form_when_sent_with_other_values_then_said_and_drawn_anew(
    shop: Shop, page: FlaskClient
) -> None:
    key = form_key(page)
    page.post("/jobs", data=FORM | {"key": key})
    answer = page.post("/jobs", data=FORM | {"key": key, "f.quantity": "3"})
    text = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert f'value="{key}"' not in text
    assert f"/jobs/{jobs_of(shop)[0]['id']}" in text


# --- a job's page -----------------------------------------------------------------------------------------------------
def test_given_job_when_followed_then_the_live_part_changes_until_it_ends(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.order()
    whole = page.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert "<svg" in whole
    assert f'data-live="/jobs/{job_id}/live"' in whole
    first = page.get(f"/jobs/{job_id}/live")
    assert (
        page.get(
            f"/jobs/{job_id}/live", headers={"If-None-Match": first.headers["ETag"]}
        ).status_code
        == 304
    )
    assert "data-ended" not in first.get_data(as_text=True)
    shop.land(job_id)
    last = page.get(f"/jobs/{job_id}/live", headers={"If-None-Match": first.headers["ETag"]})
    assert last.status_code == 200
    text = last.get_data(as_text=True)
    assert "data-ended" in text
    assert "order created, stock reserved, card charged" in text
    assert str(GOOD["card"]) not in text + whole


def test_given_declined_order_when_shown_then_undone_in_words_and_not_failed(
    shop: Shop, page: FlaskClient
) -> None:
    shop.service.script["charge_card", "action"].append(Rejected("the bank declined <the card>"))
    job_id = shop.order()
    shop.land(job_id)
    text = page.get(f"/jobs/{job_id}").get_data(as_text=True)
    title = re.search(r"<title>(.*)</title>", text)
    assert title
    assert title.group(1).endswith("· undone")
    assert (
        "the bank declined &lt;the card&gt; (charge_card). Undone: nothing is left of it; stock released and order voided"
        in text
    )


def test_given_running_job_when_cancelled_on_its_page_then_it_is_undone(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.order()
    shop.deliver(shop.next("shop.create_order"))
    assert "Yes, cancel it" in page.get(f"/jobs/{job_id}").get_data(as_text=True)
    answer = page.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"/jobs/{job_id}?said=cancelling",
    )
    assert "It is being cancelled" in page.get(answer.headers["Location"]).get_data(as_text=True)
    assert shop.land(job_id) == "cancelled"
    assert page.post(f"/jobs/{job_id}/cancel").headers["Location"].endswith("said=moved-on")
    again = page.post(f"/jobs/{job_id}/resubmit").headers["Location"]
    assert shop.land(again.partition("?")[0].rpartition("/")[2]) == "completed"


# --- what was given up -----------------------------------------------------------------------------------------------
def asked(shop: Shop) -> tuple[str, str]:
    """A job in attention for the undo of charge_card, and the letter about it."""
    job_id = shop.asked()
    (letter,) = job_view(shop.db, job_id, shop.tenant)["dead_letters"]
    return job_id, letter["id"]


def test_given_attention_when_an_operator_looks_then_the_letter_says_what_happened_and_he_can_decide_and_a_user_cannot(
    shop: Shop, app: Flask, page: FlaskClient
) -> None:
    job_id, letter = asked(shop)
    user = signed_in(app, shop.key())
    seen = user.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert "<h2>Needs a person" in seen
    with statements(app.extensions[EXTENSION].db) as asked_of_the_store:
        user.get(f"/jobs/{job_id}")
    assert sum("AS job_state" in one for one in asked_of_the_store) == 1
    assert "An operator can decide about it" in seen
    assert ">Waive<" not in seen
    decision = {"decision": "waive", "reason": "written off"}
    assert user.post(f"/jobs/{job_id}/letters/{letter}", data=decision).status_code == 403
    assert user.post(f"/jobs/{job_id}/attention", data={"owner": "take"}).status_code == 403

    seen = " ".join(page.get(f"/jobs/{job_id}").get_data(as_text=True).split())
    for words in (
        'The undo of <span class="name">charge_card</span> gave up after 2 attempts',
        "bank: 503",
        ">Redrive<",
        ">Mark as done<",
        ">Waive<",
    ):
        assert words in seen
    assert ">Discard<" not in seen
    assert ">Mark as not happened<" not in seen
    assert (
        page.post(f"/jobs/{job_id}/letters/{letter}", data=decision | {"reason": ""}).status_code
        == 400
    )
    assert (
        page.post(
            f"/jobs/{job_id}/letters/{letter}", data=decision | {"decision": "burn"}
        ).status_code
        == 400
    )
    assert (
        page.post(f"/jobs/{job_id}/letters/{letter}", data=decision)
        .headers["Location"]
        .endswith("said=decided")
    )
    assert shop.land(job_id) == "cancelled"
    assert (
        page.post(f"/jobs/{job_id}/letters/{letter}", data=decision)
        .headers["Location"]
        .endswith("said=moved-on")
    )
    assert 'data-part="letters"' not in page.get(f"/jobs/{job_id}").get_data(as_text=True)


def test_given_attention_when_an_operator_takes_it_on_then_page_why_and_job_name_him_until_he_gives_it_up(
    shop: Shop, app: Flask, page: FlaskClient
) -> None:
    job_id, letter = asked(shop)
    assert "It has no owner." in page.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert page.post(f"/jobs/{job_id}/attention", data={"owner": "mine"}).status_code == 400
    assert (
        page.post(f"/jobs/{job_id}/attention", data={"owner": "take"})
        .headers["Location"]
        .endswith("said=taken")
    )
    assert "Assigned to <b>operator:default operator</b>" in page.get(f"/jobs/{job_id}").get_data(
        as_text=True
    )
    told = Caller(app, shop.key()).get(f"/api/v1/jobs/{job_id}/why").get_json()
    assert "operator:default operator has it since" in told["sentence"]
    (wait,) = told["waiting_for"]
    assert (wait["kind"], wait["step"], wait["letter"], wait["owner"]) == (
        "person",
        "charge_card",
        letter,
        "operator:default operator",
    )
    assert (
        page.post(f"/jobs/{job_id}/attention", data={"owner": "release"})
        .headers["Location"]
        .endswith("said=released")
    )
    assert (
        page.post(f"/jobs/{job_id}/attention", data={"owner": "release"})
        .headers["Location"]
        .endswith("said=moved-on")
    )


def test_given_a_job_that_landed_undone_with_a_letter_then_its_page_and_json_show_it_and_it_is_laid_down_or_run_again(
    shop: Shop, app: Flask, page: FlaskClient
) -> None:
    landed = []
    for failures in (5, 5, 0):
        shop.service.script["charge_card", "action"] = [RuntimeError("bank: 503")] * failures
        landed.append(shop.order())
        assert shop.land(landed[-1]) == ("failed" if failures else "completed")
    first, second, third = landed
    seen = page.get(f"/jobs/{first}").get_data(as_text=True)
    assert "The job has ended without it" in seen
    assert "<h2>Needs a person" not in seen
    operator = Caller(app, shop.key("operator"))
    (mine,) = operator.get(f"/api/v1/jobs/{first}").get_json()["dead_letters"]
    (other,) = operator.get(f"/api/v1/jobs/{second}").get_json()["dead_letters"]
    assert operator.get(f"/api/v1/jobs/{third}").get_json()["dead_letters"] == []
    assert (mine["step"], mine["why"], mine["attempts"], mine["actions"]) == (
        "charge_card",
        "exhausted",
        5,
        ["redrive", "discard"],
    )
    assert operator.get(mine["links"]["self"]).get_json()["job"] == first

    laid = {"decision": "discard", "reason": "the customer went elsewhere"}
    assert page.post(f"/jobs/{third}/letters/{mine['id']}", data=laid).status_code == 404
    assert (
        page.post(f"/jobs/{first}/letters/{mine['id']}", data=laid)
        .headers["Location"]
        .endswith("said=discarded")
    )
    assert operator.get(f"/api/v1/jobs/{first}").get_json()["dead_letters"] == []
    again = page.post(
        f"/jobs/{second}/letters/{other['id']}",
        data={"decision": "redrive", "reason": "the bank is back"},
    )
    new = again.headers["Location"].partition("?")[0].rpartition("/")[2]
    assert new != second
    assert shop.land(new) == "completed"


def test_given_no_job_when_shown_then_the_first_command_is_taught_and_then_the_list(
    shop: Shop, page: FlaskClient
) -> None:
    assert "./run submit" in page.get("/recent").get_data(as_text=True)
    shop.order()
    answer = page.get("/recent")
    assert "No job yet" not in answer.get_data(as_text=True)
    assert page.get("/recent", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


# --- what keeps a browser safe ---------------------------------------------------------------------------------------
def test_given_any_page_when_served_then_no_inline_script_or_style_and_nobody_frames_it(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.order()
    for path in (
        "/",
        f"/jobs/{job_id}",
        "/sign-in",
        "/problems/",
        "/nothing",
        "/static/surefoot.js",
        "/api/v1/jobs",
        "/livez",
    ):
        answer = page.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (answer.headers["X-Content-Type-Options"], answer.headers["Referrer-Policy"]) == (
            "nosniff",
            "no-referrer",
        )
        text = answer.get_data(as_text=True)
        answer.close()
        if answer.mimetype == "text/html":
            assert not re.search(
                r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|https?://(?!localhost|www\.w3\.org)",
                text,
            ), path


def test_given_a_browser_when_it_meets_a_problem_then_a_page_and_a_program_gets_json(
    page: FlaskClient,
) -> None:
    assert page.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"}).mimetype == "text/html"
    assert page.get("/nothing").mimetype == "application/problem+json"
    assert (
        page.get("/api/v1/nothing", headers={"Accept": "text/html"}).mimetype
        == "application/problem+json"
    )


# --- Flower ----------------------------------------------------------------------------------------------------------
def test_given_flower_when_an_operator_looks_then_each_operation_that_ran_is_linked_by_its_task_id(
    shop: Shop,
) -> None:
    shop.service.script["charge_card", "action"] = [Rejected("no money")]
    job_id = shop.order()
    shop.drain()
    app = shop.web(flower_url="https://flower.example.com")
    page = signed_in(app, shop.key("operator")).get(f"/jobs/{job_id}").get_data(as_text=True)
    linked = set(re.findall(r'href="https://flower\.example\.com/task/([0-9a-f-]{36})"', page))
    undone = ("create_order", "reserve_stock")
    ran = [
        *((step, "undo") for step in undone),
        *((step, "action") for step in (*undone, "charge_card")),
    ]
    assert linked == {operation_id(job_id, step, "", kind) for step, kind in ran}
    assert "flower.example.com" not in signed_in(app, shop.key()).get(f"/jobs/{job_id}").get_data(
        as_text=True
    )


def test_given_no_flower_then_no_page_speaks_of_it(shop: Shop, page: FlaskClient) -> None:
    job_id = shop.order()
    shop.drain()
    assert "/task/" not in page.get(f"/jobs/{job_id}").get_data(as_text=True)


# --- the live part -----------------------------------------------------------------------------------------------------
def test_given_a_job_that_stands_still_when_its_page_asks_again_then_one_statement_and_no_body(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.order()
    first = page.get(f"/jobs/{job_id}/live")
    with statements(shop.apps[0].extensions[EXTENSION].db) as sent:
        again = page.get(f"/jobs/{job_id}/live", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")
    assert (
        len([one for one in sent if "api_keys" not in one or "jobs" in one]) == 1
    )  # beside the session's
    shop.drain()
    moved = page.get(f"/jobs/{job_id}/live", headers={"If-None-Match": first.headers["ETag"]})
    assert moved.status_code == 200
    assert moved.headers["ETag"] != first.headers["ETag"]
    assert (
        page.get(
            f"/jobs/{job_id}/live", headers={"If-None-Match": moved.headers["ETag"]}
        ).status_code
        == 304
    )


def test_given_two_roles_when_one_has_the_page_of_the_other_then_no_304(
    shop: Shop, app: Flask, page: FlaskClient
) -> None:
    job_id = shop.order()
    tag = page.get(f"/jobs/{job_id}/live").headers["ETag"]
    assert (
        signed_in(app, shop.key())
        .get(f"/jobs/{job_id}/live", headers={"If-None-Match": tag})
        .status_code
        == 200
    )


# --- the list of jobs ------------------------------------------------------------------------------------------------
def test_given_more_jobs_than_a_page_when_turned_then_each_is_shown_once_and_filters_stay(
    shop: Shop, page: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surefoot.web.pages.turning.PAGE_ROWS", 2)
    made = [shop.order()]
    shop.land(made[0])
    made += [shop.order() for _ in range(4)]
    seen: list[str] = []
    address: str | None = "/jobs"
    while address:
        shown = page.get(address).get_data(as_text=True)
        seen += re.findall(r'href="/jobs/([0-9a-f-]{36})"', shown)
        following = re.search(r'href="([^"]+)" rel="next"', shown)
        address = html.unescape(following.group(1)) if following else None
        made.append(shop.order()) if len(seen) == 2 else None  # what comes meanwhile moves nothing
    assert seen == sorted(made[:5], reverse=True)
    done = page.get("/jobs?state=completed&saga=shop").get_data(as_text=True)
    assert re.findall(r'href="/jobs/([0-9a-f-]{36})"', done) == [made[0]]
    assert '<option value="completed" selected>completed</option>' in done
    assert "“&lt;b&gt;” is not a saga here" in page.get("/jobs?saga=<b>").get_data(as_text=True)
    assert page.get("/jobs?cursor=forged").status_code == 400


def test_given_job_of_another_tenant_when_listed_then_it_is_not_there(
    shop: Shop, app: Flask
) -> None:
    shop.order()
    stranger = signed_in(app, shop.key("user", tenant="elsewhere"))
    assert "No jobs match" in stranger.get("/jobs").get_data(as_text=True)


def test_given_form_with_faults_of_two_kinds_when_sent_then_all_of_them_are_told_at_once(
    shop: Shop, page: FlaskClient
) -> None:
    values = {**FORM, "key": form_key(page), "f.quantity": "0", "f.amount_cents": "12,345.678"}
    answer = page.post("/jobs", data=values)
    shown = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert shown.count('<p class="fault"') == 2
    assert 'value="12,345.678"' in shown
    assert jobs_of(shop) == []


def test_given_half_a_surrogate_pair_on_record_when_anything_is_asked_for_then_it_is_shown(
    shop: Shop, page: FlaskClient
) -> None:
    """What an older release kept: SQLite takes it in JSON, as an escape."""
    job_id = shop.asked()
    half = b"caf\xe9.pdf".decode("utf-8", "surrogateescape")
    said = {"type": "E", "message": half, "fraction": 0.5}
    with shop.db.begin() as tx:
        tx.execute(update(operations).values(error=said, progress=said, result=half))
        tx.execute(update(history).values(detail={"error": said}))
        tx.execute(update(jobs).values(error=said, tags=[half]))
        tx.execute(update(dead_letters).values(error=said))
    addresses = [
        f"/jobs/{job_id}",
        f"/jobs/{job_id}/live",
        "/recent",
        "/",
        "/jobs",
        "/dead-letters",
    ]
    addresses += [
        f"/api/v1/{part}"
        for part in (
            "jobs",
            f"jobs/{job_id}",
            f"jobs/{job_id}/history",
            f"jobs/{job_id}/why",
            "dead-letters",
        )
    ]
    answers = {address: page.get(address) for address in addresses}
    assert {
        address: answer.status_code
        for address, answer in answers.items()
        if answer.status_code != 200
    } == {}
    assert "caf" in answers[f"/api/v1/jobs/{job_id}"].get_data(as_text=True)


# --- finding a job --------------------------------------------------------------------------
def test_given_a_name_when_sought_in_the_head_or_in_the_address_then_it_leads_to_its_job(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.order()
    name = job_view(shop.db, job_id, None)["name"]
    for path in (f"/find?q={name}", f"/find?q={job_id}", f"/find?q={name.lower()}"):
        assert page.get(path).headers["Location"] == f"/jobs/{job_id}"
    assert page.get(f"/jobs/{name}", follow_redirects=True).request.path == f"/jobs/{job_id}"
    nobody = page.get("/find?q=shop-<b>")
    assert (
        nobody.status_code,
        "No job is called “shop-&lt;b&gt;”" in nobody.get_data(as_text=True),
    ) == (404, True)


def test_given_a_name_of_another_tenant_when_sought_then_no_job(shop: Shop, app: Flask) -> None:
    name = job_view(shop.db, shop.order(), None)["name"]
    ensure(shop.db, "other")
    assert signed_in(app, shop.key("admin", "other")).get(f"/find?q={name}").status_code == 404


def test_given_two_jobs_that_begin_alike_when_sought_then_a_list_of_both(
    shop: Shop, page: FlaskClient
) -> None:
    first, second = shop.order(), shop.order()
    listed = page.get(f"/find?q={first[:8]}").get_data(as_text=True)
    assert all(f'href="/jobs/{job}"' in listed for job in (first, second))


def test_given_the_words_of_badges_when_they_filter_then_their_jobs_and_unknown_ones_are_a_fault(
    shop: Shop, page: FlaskClient
) -> None:
    done = shop.order()
    shop.land(done)
    shop.service.script["charge_card", "action"].append(Rejected("no money"))
    undone = shop.order()
    shop.land(undone)
    asked_job, open_ = shop.asked(), shop.order()
    shown = {
        word: set(
            re.findall(
                r'<a href="/jobs/([0-9a-f-]{36})"',
                page.get(f"/jobs?state={word}").get_data(as_text=True),
            )
        )
        for word in (*BADGES, "failed", "pending")
    }
    assert {word: jobs for word, jobs in shown.items() if jobs} == {
        "completed": {done},
        "undone": {undone},
        "failed": {undone},
        "accepted": {open_},
        "pending": {open_},
        "attention": {asked_job},
    }
    for address, said in (
        ("state=finished", "“finished” is not a state here. There are: accepted"),
        ("state=undon", "Did you mean &#39;undone&#39;?"),
        ("saga=shopp", "Did you mean &#39;shop&#39;?"),
        ("stat=undone", "There is no filter “stat”. Did you mean &#39;state&#39;?"),
    ):
        answer = page.get(f"/jobs?{address}")
        text = answer.get_data(as_text=True)
        assert (answer.status_code, said in text, done in text) == (400, True, False), address
    letters = page.get("/dead-letters?why=exhaustd")
    assert (
        letters.status_code,
        "Did you mean &#39;exhausted&#39;?" in letters.get_data(as_text=True),
    ) == (400, True)


def test_given_any_page_then_its_head_leads_on_and_says_how_many_need_a_person(
    shop: Shop, app: Flask, page: FlaskClient
) -> None:
    assert 'class="count"' not in page.get("/").get_data(as_text=True)
    shop.asked()
    head = page.get("/jobs?state=attention").get_data(as_text=True)
    assert re.search(
        r'attention" aria-current="page">Needs a person <b class="count">1</b></a>',
        head,
    )
    assert "/dead-letters" in head
    assert "/dead-letters" not in signed_in(app, shop.key()).get("/jobs").get_data(as_text=True)


# --- both ends of what is long --------------------------------------------------------------------
def seqs(text: str) -> list[int]:
    return [int(one) for one in re.findall(r'<td class="soft">(\d+)</td>', text)]


def longer_history(shop: Shop, job_id: str, events: int) -> None:
    """So many events in all."""
    with shop.db.begin() as connection:
        had = connection.scalar(select(func.max(history.c.seq)).where(history.c.job_id == job_id))
        row = connection.execute(select(history).where(history.c.job_id == job_id).limit(1)).one()
        more = [{**row._mapping, "seq": seq} for seq in range(had + 1, events + 1)]
        connection.execute(history.insert(), more)


def test_given_a_long_history_when_shown_then_its_newest_events_and_the_way_to_all_by_pages(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.order()
    shop.land(job_id)
    short = page.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert seqs(short) == sorted(seqs(short), reverse=True)
    assert "events between" not in short
    longer_history(shop, job_id, 431)
    text = page.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert seqs(text) == [*range(431, 411, -1), *range(5, 0, -1)]
    assert "… 406 events between: show all" in text
    seen, address = list[int](), f"/jobs/{job_id}/history"
    while address:
        text = page.get(address).get_data(as_text=True)
        seen += seqs(text)
        following = re.search(r'href="([^"]+)" rel="next"', text)
        address = html.unescape(following.group(1)) if following else ""
    assert seen == list(range(431, 0, -1))
    assert page.get(f"/jobs/{job_id}/history?page=4").status_code == 404
    assert page.get(f"/jobs/{job_id}/history?page=²").status_code == 404


def test_given_more_than_a_page_when_turned_back_and_forth_then_it_says_which_of_how_many(
    shop: Shop, page: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turning, "PAGE_ROWS", 2)
    monkeypatch.setattr(counts, "COUNTED_MOST", 6)
    made = sorted((shop.order() for _ in range(7)), reverse=True)
    shop.land(made[0])
    text = page.get("/jobs").get_data(as_text=True)
    assert "1–2 of more than 6" in text
    told, ways = [], {"next": "/jobs?saga=shop", "prev": ""}
    for way in ("next", "next", "next", "prev", "prev"):
        text = page.get(ways[way]).get_data(as_text=True)
        told += re.findall(r"newest first · ([^<]+)<", text)
        ways = {
            rel: html.unescape(to) for to, rel in re.findall(r'href="([^"]+)" rel="(\w+)"', text)
        }
        if told[-1].startswith("5"):
            assert re.findall(r'<a href="/jobs/([0-9a-f-]{36})"', text) == made[4:6]
    assert told == [f"{rows} of more than 6" for rows in ("1–2", "3–4", "5–6", "3–4", "1–2")]
    assert page.get(f"/jobs?cursor={'x' * 30}&from=9&trail=a~b").status_code == 400


def test_given_a_time_when_drawn_then_with_its_date_and_zone_wherever_it_stands(
    shop: Shop, page: FlaskClient
) -> None:
    job_id = shop.asked()
    for path in (f"/jobs/{job_id}", "/jobs", "/dead-letters", f"/jobs/{job_id}/history"):
        times = re.findall(r"<time [^>]*>([^<]*)</time>", page.get(path).get_data(as_text=True))
        assert times
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", time) for time in times), (
            path
        )


# --- what was typed is not lost -------------------------------------------------------------------
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def hidden(text: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text)
    return {name: html.unescape(value) for name, value in found}


def test_given_an_expired_session_when_a_form_is_sent_then_signed_in_again_it_is_filled(
    shop: Shop, app: Flask
) -> None:
    client = app.test_client()
    form = FORM | {"f.sku": '"pears" & <plums>', "f.note": "by the back door", "key": "form-mine"}
    sent = client.post("/jobs", data=form, headers=BROWSER, follow_redirects=True)
    text = sent.get_data(as_text=True)
    assert sent.status_code == 401
    assert "You were signed out meanwhile." in text
    assert "Bearer" not in text
    assert GOOD["card"] not in text, "a secret is typed again"
    carried = hidden(text)
    wrong = client.post("/sign-in", data=carried | {"key": "sf_wrong"})
    assert hidden(wrong.get_data(as_text=True)) == carried
    back = client.post("/sign-in", data=carried | {"key": shop.key()})
    again = back.get_data(as_text=True)
    assert back.status_code == 200
    assert "Set-Cookie" in back.headers
    assert "Nothing was sent yet" in again
    assert "Type again: Card." in again
    assert 'value="&#34;pears&#34; &amp; &lt;plums&gt;"' in again
    assert 'value="by the back door"' in again
    assert hidden(again)["key"] == "form-mine"
    assert jobs_of(shop) == []
    assert client.post("/jobs", data=FORM | {"key": "form-mine"}).status_code == 303


def test_given_no_session_when_a_form_comes_from_elsewhere_or_is_too_large_then_nothing_is_carried(
    shop: Shop, app: Flask
) -> None:
    client = app.test_client()
    other = BROWSER | {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/jobs", data=FORM, headers=other, follow_redirects=True).status_code == 403
    large = client.post(
        "/jobs", data=FORM | {"f.note": "x" * 70_000}, headers=BROWSER, follow_redirects=True
    )
    assert list(hidden(large.get_data(as_text=True))) == ["next"]
    decision = client.post(
        "/jobs/7/letters/8", data={"reason": "r"}, headers=BROWSER, follow_redirects=True
    )
    text = decision.get_data(as_text=True)
    assert hidden(text) == {"next": "/jobs/7"}
    assert "Nothing was done." in text
    assert client.post("/jobs", data=FORM).status_code == 401, "a program is told so"
    assert (
        client.get("/jobs?state=attention").headers["Location"]
        == "/sign-in?next=/jobs?state%3Dattention"
    )


def test_given_a_store_that_is_away_when_a_page_is_asked_then_it_is_one_for_people(
    app: Flask, page: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise StoreUnavailable

    monkeypatch.setattr("surefoot.web.api.auth._who", away)
    answer = page.get("/jobs?state=attention", headers=BROWSER)
    text = answer.get_data(as_text=True)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert 'data-again="5"' in text
    assert '<a class="button" href="/jobs?state=attention">Try again</a>' in text
    assert not re.search("Retry-After|Idempotency|store", text)
    monkeypatch.setattr(app.extensions[EXTENSION].registry, "get", lambda name: None)
    sent = page.post("/jobs", data=FORM, headers=BROWSER)
    assert (sent.status_code, "go back and send it again" in sent.get_data(as_text=True)) == (
        503,
        True,
    )


def test_given_a_store_that_is_away_when_a_form_is_sent_then_it_stays_as_it_was_filled(
    shop: Shop, app: Flask, page: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise StoreUnavailable

    (saga,) = shop.registry.all()
    monkeypatch.setattr(app.extensions[EXTENSION].registry, "get", {"shop": saga}.get)
    monkeypatch.setattr("surefoot.web.api.auth._who", away)
    sent = page.post("/jobs", data=FORM | {"key": "form-mine"}, headers=BROWSER)
    text = sent.get_data(as_text=True)
    assert (sent.status_code, hidden(text)["key"]) == (503, "form-mine")
    assert "Surefoot cannot be reached at the moment. Nothing was sent" in text
    assert 'value="12.50"' in text
    assert GOOD["card"] not in text
    assert page.post("/jobs", data=FORM).status_code == 503


def test_given_nobody_who_works_on_a_job_when_a_customer_looks_then_no_words_for_operators(
    shop: Shop, app: Flask, page: FlaskClient
) -> None:
    job_id = shop.order()
    assert "worker" in page.get(f"/jobs/{job_id}").get_data(as_text=True)
    customer = signed_in(app, shop.key())
    assert "worker" not in customer.get(f"/jobs/{job_id}").get_data(as_text=True)
    shop.deliver(shop.next("shop.create_order"))
    text = customer.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert ("goes on by itself" in text, "worker" in text) == (True, False)


# --- what is large --------------------------------------------------------------------------------
def test_given_a_fork_of_a_hundred_when_shown_then_counted_and_its_page_is_light(
    sqlite_url: str,
) -> None:
    gallery = Gallery(sqlite_url)
    job_id = gallery.fork_undone()
    client = signed_in(gallery.web(), gallery.key("operator"))
    text = client.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert text.count("<") // 2 < 600, "elements of the page"
    assert text.count("copy_… × 100") >= 3
    assert "no paper left" in text
    assert '<span class="name">copy_57</span>' in text
    whole = client.get(f"/jobs/{job_id}/steps").get_data(as_text=True)
    assert all(f'<span class="name">copy_{number}</span>' in whole for number in range(100))
    waits = gallery.under_way("print_run", 1)
    text = client.get(f"/jobs/{waits}").get_data(as_text=True)
    assert "the same of 99 more steps" in text
    gallery.close()
