"""Running a job again over HTTP, by the page and by the command line: one new job, whoever asks and however often."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import TRY_LATER, Commands, outcome
from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.views import list_jobs
from tests.contract.views.shop import Caller, Shop

JOBS = "/api/v1/jobs"
KEY = {"Idempotency-Key": "again-1"}


def signed_in(app: Flask, key: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"key": key, "next": "/"}).status_code == 303
    return client


def completed(shop: Shop) -> str:
    job = shop.order()
    assert shop.land(job) == "completed"
    return job


def reruns(shop: Shop, job: str) -> list[str]:
    return [
        row["id"] for row in list_jobs(shop.db, shop.tenant)[0] if row["resubmission_of"] == job
    ]


def test_given_a_completed_job_when_run_again_five_times_with_one_key_then_one_new_job_that_both_name(
    shop: Shop, user: Caller
) -> None:
    job = completed(shop)
    refused = user.post(f"{JOBS}/{job}/resubmit", **KEY)
    assert (refused.status_code, "again" in refused.get_json()["detail"]) == (409, True)
    answers = [user.post(f"{JOBS}/{job}/resubmit", {"again": True}, **KEY) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {202}
    (made,) = reruns(shop, job)
    assert {answer.get_json()["id"] for answer in answers} == {made}
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [
        None,
        *["true"] * 4,
    ]
    old = user.get(f"{JOBS}/{job}").get_json()
    assert (old["resubmitted_as"], old["actions"], old["links"]["cancel"]) == (made, [], None)
    other = user.post(f"{JOBS}/{job}/resubmit", {"again": True}, **{"Idempotency-Key": "another"})
    assert (other.status_code, other.get_json()["job"]) == (409, f"{JOBS}/{made}")
    assert user.get(f"{JOBS}/{made}").get_json()["resubmission_of"] == job
    assert shop.land(made) == "completed"


def test_given_five_requests_at_once_without_a_key_when_a_job_is_run_again_then_one_wins_and_the_others_name_it(
    shop: Shop,
) -> None:
    app, key, job = shop.web(), shop.key(), completed(shop)
    together = threading.Barrier(5)

    def post(_: int) -> tuple[int, str]:
        together.wait(timeout=20)
        answer = Caller(app, key).post(f"{JOBS}/{job}/resubmit", {"again": True})
        body = answer.get_json()
        return answer.status_code, body["id"] if answer.status_code == 202 else body[
            "job"
        ].rpartition("/")[2]

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(post, range(5)))
    (made,) = reruns(shop, job)
    assert sorted(answers) == [(202, made), *[(409, made)] * 4]


def test_given_as_many_open_jobs_as_may_be_when_a_job_is_run_again_then_api_page_and_command_line_refuse(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = completed(shop)
    shop.order()
    app, key = shop.web(open_jobs=1), shop.key("operator")
    answer = Caller(app, key).post(f"{JOBS}/{job}/resubmit", {"again": True})
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert (
        signed_in(app, key).post(f"/jobs/{job}/resubmit", data={"again": "yes"}).status_code == 429
    )
    settings = {"DATABASE_URL": shop.url, "SUREFOOT_HOME": str(tmp_path), "SUREFOOT_OPEN_JOBS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert outcome(Commands(COMMANDS), ["jobs", "resubmit", job, "--again"]) == TRY_LATER
    assert "OPEN_JOBS" in capsys.readouterr().err
    assert reruns(shop, job) == []


def test_given_a_users_key_when_a_job_waits_for_a_person_then_operators_alone_send_it_back_and_say_why(
    shop: Shop, app: Flask, user: Caller, operator: Caller
) -> None:
    job = shop.asked()
    assert user.post(f"{JOBS}/{job}/redrive", {"reason": "please"}).status_code == 403
    assert (
        signed_in(app, shop.key())
        .post(f"/jobs/{job}/redrive", data={"reason": "please"})
        .status_code
        == 403
    )
    refused = operator.post(f"{JOBS}/{job}/redrive")
    assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "/reason")
    answers = [
        operator.post(f"{JOBS}/{job}/redrive", {"reason": "the bank is back"}, **KEY)
        for _ in range(2)
    ]
    assert [
        (one.status_code, one.get_json()["id"], one.headers.get("Idempotent-Replayed"))
        for one in answers
    ] == [
        (202, job, None),
        (202, job, "true"),
    ]
    lines = [
        one
        for one in user.get(f"{JOBS}/{job}/history").get_json()["items"]
        if one["event"] == "retried"
    ]
    assert [(line["actor"], line["detail"]["why"]) for line in lines] == [
        ("operator:default operator", "the bank is back")
    ]
    assert shop.land(job) == "cancelled"


def test_given_a_key_when_a_dead_letter_is_sent_back_twice_then_one_job(
    shop: Shop, operator: Caller
) -> None:
    shop.service.script["charge_card", "action"] = [RuntimeError("bank: 503")] * 5
    job = shop.order()
    assert shop.land(job) == "failed"
    (letter,) = operator.get("/api/v1/dead-letters").get_json()["items"]
    answers = [
        operator.post(f"{letter['links']['self']}/redrive", {"reason": "w"}, **KEY)
        for _ in range(2)
    ]
    (made,) = reruns(shop, job)
    assert [one.headers["Location"] for one in answers] == [f"{JOBS}/{made}"] * 2
    assert answers[1].headers["Idempotent-Replayed"] == "true"


# --- the page ----------------------------------------------------------------------------------------------------
def box(client: FlaskClient, job: str) -> dict[str, str]:
    """The hidden fields of the form that runs a job again."""
    text = client.get(f"/jobs/{job}").get_data(as_text=True)
    form = re.search(
        rf'<form method="post" action="/jobs/{job}/resubmit".*?</form>', text, re.DOTALL
    )
    assert form, text
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', form.group(0)))


def test_given_a_completed_job_when_its_form_is_sent_twice_then_one_new_job_and_the_old_page_leads_to_it(
    shop: Shop, app: Flask
) -> None:
    page, job = signed_in(app, shop.key()), completed(shop)
    text = page.get(f"/jobs/{job}").get_data(as_text=True)
    assert "all of it is done once more" in text
    fields = box(page, job)
    assert fields["again"] == "yes"
    answers = [page.post(f"/jobs/{job}/resubmit", data=fields) for _ in range(2)]
    (made,) = reruns(shop, job)
    assert [one.headers["Location"] for one in answers] == [f"/jobs/{made}?said=resubmitted"] * 2
    text = page.get(f"/jobs/{job}").get_data(as_text=True)
    assert f'It is resubmitted as <a href="/jobs/{made}">shop-' in text
    assert ">Resubmit<" not in text
    late = page.post(f"/jobs/{job}/resubmit", data=fields | {"key": "form-of-another-tab"})
    assert late.headers["Location"] == f"/jobs/{made}?said=resubmitted-already"
    assert "was resubmitted before" in page.get(late.headers["Location"]).get_data(as_text=True)


def test_given_an_undone_job_when_its_re_run_is_undone_too_then_the_page_says_so_and_offers_another(
    shop: Shop, app: Flask
) -> None:
    page = signed_in(app, shop.key())
    shop.service.script["charge_card", "action"] = [Rejected("no"), Rejected("no")]
    job = shop.order()
    assert shop.land(job) == "failed"
    made = (
        page.post(f"/jobs/{job}/resubmit", data=box(page, job))
        .headers["Location"]
        .partition("?")[0]
        .rpartition("/")[2]
    )
    assert shop.land(made) == "failed"
    text = page.get(f"/jobs/{job}").get_data(as_text=True)
    assert "which was undone" in text
    assert (
        page.post(f"/jobs/{job}/resubmit", data=box(page, job))
        .headers["Location"]
        .endswith("said=resubmitted")
    )
    assert len(reruns(shop, job)) == 2


def test_given_a_job_past_its_pivot_when_shown_then_no_cancel_is_offered_by_page_or_api(
    shop: Shop, app: Flask, user: Caller
) -> None:
    job, page = shop.order(), signed_in(app, shop.key())
    assert user.get(f"{JOBS}/{job}").get_json()["actions"] == ["cancel"]
    for step in ("create_order", "reserve_stock", "charge_card", "confirm_order"):
        shop.deliver(shop.next(f"shop.{step}"))
    view = user.get(f"{JOBS}/{job}").get_json()
    assert (view["state"], view["actions"], view["links"]["cancel"]) == ("running", [], None)
    text = page.get(f"/jobs/{job}").get_data(as_text=True)
    assert "Cancel this job" not in text
    assert "past the point of no return" in text
    shop.drain()


# --- the command line --------------------------------------------------------------------------------------------
def test_given_a_completed_job_when_the_command_line_runs_it_again_then_only_with_again_and_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in {"DATABASE_URL": shop.url, "SUREFOOT_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    job = completed(shop)

    def redrive(*words: str) -> tuple[Any, str]:
        capsys.readouterr()
        code = outcome(Commands(COMMANDS), ["jobs", "resubmit", job, *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    code, said = redrive()
    assert (code, "--again" in said) == (2, True)
    code, said = redrive("--again", "--key", "k")
    (made,) = reruns(shop, job)
    assert (code, made in said) == (0, True)
    code, said = redrive("--again", "--key", "k")
    assert (code, "made before under this key" in said) == (0, True)
    code, said = redrive("--again")
    assert (code, "is resubmitted already" in said) == (2, True)
    assert reruns(shop, job) == [made]
