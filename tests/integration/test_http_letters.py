"""Dead letters over HTTP and by the command line: found, sent back, laid down; by operators alone, and of their tenant alone."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from flask import Flask

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.saga.outcomes import Rejected
from tests.contract.views.shop import Caller, Shop

LETTERS, JOBS = "/api/v1/dead-letters", "/api/v1/jobs"
DOWN = RuntimeError("bank: 503")
WHY = {"reason": "the bank is back"}


def given_up(shop: Shop) -> str:
    shop.service.script["charge_card", "action"] = [DOWN] * 5
    job = shop.order()
    assert shop.land(job) == "failed"
    return job


def letters(caller: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = caller.get(f"{LETTERS}{query}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return list(answer.get_json()["items"])


# --- looking -----------------------------------------------------------------------------------------------------
def test_given_letters_when_listed_then_filters_and_pages_find_them(
    shop: Shop, operator: Caller
) -> None:
    failed, asked = given_up(shop), shop.asked()
    assert [one["job"] for one in letters(operator)] == [asked, failed]
    assert [one["job"] for one in letters(operator, "?needs_person=true")] == [asked]
    assert [
        one["job"]
        for one in letters(operator, "?needs_person=false&saga=shop&step=charge_card&why=exhausted")
    ] == [failed]
    assert [one["job"] for one in letters(operator, f"?job={failed}")] == [failed]
    assert letters(operator, "?step=reserve_stock") == letters(operator, "?state=closed") == []
    first = operator.get(f"{LETTERS}?limit=1").get_json()
    second = operator.get(f"{LETTERS}?limit=1&cursor={first['next']}").get_json()
    assert [first["items"][0]["job"], second["items"][0]["job"], second["next"]] == [
        asked,
        failed,
        None,
    ]
    assert {one["job"]: one["actions"] for one in letters(operator)} == {
        failed: ["redrive", "discard"],
        asked: ["redrive", "mark-done", "waive"],
    }
    for wrong in ("state=nope", "needs_person=maybe", "color=red"):
        assert operator.get(f"{LETTERS}?{wrong}").status_code == 422, wrong
    assert operator.get(f"{LETTERS}?step=charge_card&cursor={first['next']}").status_code == 400


def test_given_letter_when_read_then_who_what_and_how_each_attempt_ended(
    shop: Shop, operator: Caller
) -> None:
    job = given_up(shop)
    (brief,) = letters(operator)
    whole = operator.get(brief["links"]["self"]).get_json()
    assert (whole["saga"], whole["step"], whole["kind"], whole["attempts"], whole["why"]) == (
        "shop",
        "charge_card",
        "action",
        5,
        "exhausted",
    )
    assert whole["payload"] == f"{JOBS}/{job}"
    assert [one["attempt"] for one in whole["history"]] == [1, 2, 3, 4, 5]
    assert all(one["error"]["message"] == "bank: 503" for one in whole["history"])
    assert "tok_canary" not in json.dumps(whole)


# --- deciding ----------------------------------------------------------------------------------------------------
def test_given_landed_job_when_letter_sent_back_then_location_is_the_new_job(
    shop: Shop, operator: Caller
) -> None:
    job = given_up(shop)
    (letter,) = letters(operator)
    assert operator.post(f"{letter['links']['self']}/redrive", {}).status_code == 422
    answer = operator.post(f"{letter['links']['self']}/redrive", WHY)
    assert answer.status_code == 202
    view = answer.get_json()
    again = operator.get(answer.headers["Location"]).get_json()
    assert (
        again["resubmission_of"],
        view["resubmitted_as"],
        view["state"],
        view["resolution"],
    ) == (
        job,
        again["id"],
        "closed",
        "redriven",
    )
    assert view["resolved_by"] == "operator:default operator"
    assert operator.post(f"{letter['links']['self']}/redrive", WHY).status_code == 409
    assert shop.land(again["id"]) == "completed"


def test_given_landed_job_when_run_again_as_a_job_then_its_letters_are_closed_too(
    shop: Shop, operator: Caller
) -> None:
    job = given_up(shop)
    again = operator.post(f"{JOBS}/{job}/resubmit").get_json()["id"]
    assert letters(operator) == []
    assert letters(operator, "?state=closed")[0]["resubmitted_as"] == again


def test_given_letter_that_holds_its_job_when_discarded_then_409_names_the_decisions_and_redrive_lands_it(
    shop: Shop, operator: Caller
) -> None:
    job = shop.asked()
    (letter,) = letters(operator)
    refused = operator.post(f"{letter['links']['self']}/discard", WHY)
    assert refused.status_code == 409
    assert "mark-done or waive" in refused.get_json()["detail"]
    assert (
        operator.post(f"{letter['links']['self']}/redrive", WHY).headers["Location"]
        == f"{JOBS}/{job}"
    )
    assert shop.land(job) == "cancelled"


def test_given_letter_when_discarded_then_closed_by_whom_and_why(
    shop: Shop, operator: Caller
) -> None:
    given_up(shop)
    (letter,) = letters(operator)
    view = operator.post(f"{letter['links']['self']}/discard", WHY).get_json()
    assert (view["state"], view["resolution"], view["resolved_why"], view["actions"]) == (
        "closed",
        "discarded",
        WHY["reason"],
        [],
    )
    assert operator.post(f"{letter['links']['self']}/discard", WHY).status_code == 409


def test_given_many_when_sent_back_then_a_dry_run_tells_and_the_relay_does(
    shop: Shop, operator: Caller
) -> None:
    for _ in range(3):
        given_up(shop)
    wanted = {"filter": {"saga": "shop"}, "rate": 2, "ramp": 0, **WHY}
    tried = operator.post(f"{LETTERS}/redrive", {**wanted, "dry_run": True}).get_json()
    assert (tried["letters"], tried["takes_seconds"], tried["dry_run"], tried["more"]) == (
        3,
        1.0,
        True,
        False,
    )
    assert not any(one["redrive"] for one in letters(operator))
    done = operator.post(f"{LETTERS}/redrive", wanted)
    assert (done.status_code, done.get_json()["letters"]) == (202, 3)
    assert all(one["redrive"]["by"] == "operator:default operator" for one in letters(operator))
    for _ in range(3):
        shop.sweep()
        shop.let_pass(1)
    assert letters(operator) == []
    shop.drain()
    assert (
        operator.post(f"{LETTERS}/redrive", {"filter": {"saga": "x"}, **WHY}).get_json()["letters"]
        == 0
    )
    for wrong in (
        {**wanted, "rate": 0},
        {**wanted, "ramp": -1},
        {"filter": {"color": "red"}, **WHY},
        {"rate": 1},
    ):
        assert operator.post(f"{LETTERS}/redrive", wrong).status_code == 422, wrong


def test_given_dated_letters_when_held_back_then_none_is_sent(shop: Shop, operator: Caller) -> None:
    given_up(shop)
    operator.post(f"{LETTERS}/redrive", WHY)
    assert operator.post(f"{LETTERS}/cancel-redrive", {"reason": "too early"}).get_json() == {
        "unscheduled": 1
    }
    assert "redriven" not in shop.sweep()


# --- who may -----------------------------------------------------------------------------------------------------
def test_given_a_users_key_or_none_when_anything_is_asked_then_403_or_401_and_nothing_changes(
    shop: Shop, app: Flask, user: Caller, operator: Caller
) -> None:
    given_up(shop)
    here = letters(operator)[0]["links"]["self"]
    for caller, status in ((user, 403), (Caller(app, None), 401)):
        for path in (LETTERS, here):
            assert caller.get(path).status_code == status, path
        for path in (
            f"{here}/redrive",
            f"{here}/discard",
            f"{LETTERS}/redrive",
            f"{LETTERS}/cancel-redrive",
        ):
            assert caller.post(path, WHY if "hold" not in path else {}).status_code == status, path
    assert [one["redrive"] for one in letters(operator)] == [None]


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_given_letter_of_another_tenant_when_asked_for_then_404_and_many_are_only_ones_own(
    shop: Shop, app: Flask, operator: Caller, role: str
) -> None:
    given_up(shop)
    here = letters(operator)[0]["links"]["self"]
    stranger = Caller(app, shop.key(role, tenant="other"))
    assert stranger.get(here).status_code == 404
    assert stranger.post(f"{here}/redrive", WHY).status_code == 404
    assert stranger.post(f"{here}/discard", WHY).status_code == 404
    assert letters(stranger) == []
    assert stranger.post(f"{LETTERS}/redrive", WHY).get_json()["letters"] == 0
    assert stranger.get(f"{LETTERS}/nonsense").status_code == 404
    assert len(letters(operator)) == 1


def test_given_pivot_that_may_have_happened_when_marked_absent_then_the_job_is_undone(
    shop: Shop, operator: Caller
) -> None:
    shop.service.script["confirm_order", "action"] = [TimeoutError("no answer")] * 5
    job = shop.order()
    assert shop.land(job) == "attention"
    assert letters(operator)[0]["actions"] == ["redrive", "mark-done", "waive", "mark-absent"]
    assert operator.post(f"{JOBS}/{job}/effects/confirm_order/mark-absent", WHY).status_code == 202
    assert shop.land(job) == "failed"


# --- by the command line -------------------------------------------------------------------------------------------
@pytest.fixture
def cli(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> Any:
    monkeypatch.setenv("DATABASE_URL", shop.url)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))

    def group(*words: str) -> tuple[int, str]:
        capsys.readouterr()  # what the engine has logged meanwhile
        code = outcome(Commands(COMMANDS), list(words))
        said = capsys.readouterr()
        return code, said.out + said.err

    def run(*words: str) -> tuple[int, str]:
        return group("dead-letters", *words)

    run.group = group  # type: ignore[attr-defined]
    return run


def test_given_letters_when_the_command_line_is_used_then_listed_shown_sent_back_and_laid_down(
    shop: Shop, cli: Any
) -> None:
    failed, asked = given_up(shop), shop.asked()
    code, said = cli("list")
    assert (code, said.count("charge_card")) == (0, 2)
    rows = json.loads(cli("list", "--json", "--needs-person")[1])
    assert [row["job"] for row in rows] == [asked]
    assert len(json.loads(cli("list", "--json", "--job", failed)[1])) == 1
    end = rows[0]["id"][-12:]
    assert "bank: 503" in cli("show", end)[1]
    code, said = cli("discard", end, "--reason", "no")
    assert (code, "mark-done or waive" in said) == (2, True)
    assert cli("redrive", end, "--reason", "w", "--dry-run")[1].strip().endswith("can be redriven.")
    assert cli("redrive", end, "--reason", "w")[0] == 0
    assert cli("redrive", "--reason", "w")[0] == 2
    assert (
        json.loads(
            cli("redrive", "--all", "--reason", "w", "--rate", "1", "--dry-run", "--json")[1]
        )["dry_run"]
        is True
    )
    assert (
        "1 letter redriven"
        in cli(
            "redrive",
            "--saga",
            "shop",
            "--lands-by-itself",
            "--rate",
            "1",
            "--ramp",
            "2",
            "--reason",
            "w",
        )[1]
    )
    assert json.loads(cli("cancel-redrive", "--all", "--reason", "too early", "--json")[1]) == {
        "unscheduled": 1
    }
    assert cli("discard", json.loads(cli("list", "--json")[1])[0]["id"], "--reason", "w")[0] == 0
    assert cli("list")[1].strip() == "There are no such dead letters."
    assert cli("show", "abcdef123456")[0] == 2


def test_given_more_rows_than_asked_for_then_the_command_line_says_how_to_go_on(
    shop: Shop, cli: Any
) -> None:
    jobs = sorted(given_up(shop) for _ in range(3))
    said = cli("list", "--limit", "2")[1]
    told = re.search(r"2 of 3 shown, newest first. The next ones: --after ([0-9a-f-]{36})", said)
    assert told
    rest = json.loads(cli("list", "--limit", "2", "--after", told.group(1), "--json")[1])
    assert [row["job"] for row in rest] == jobs[:1]
    assert "whole id" in cli("list", "--after", "abc")[1]

    def jobs_list(*words: str) -> tuple[int, str]:
        return cli.group("jobs", "list", *words)

    code, said = jobs_list("--limit", "2", "--json")
    assert code == 0
    assert f"2 of 3 shown, newest first. The next ones: --after {jobs[1]}" in said
    code, said = jobs_list("--state", "failed", "--after", jobs[1])
    assert (code, "shown" in said) == (0, False)
    assert jobs_list("--after", "0" * 8)[0] == 2


def test_given_refused_step_then_no_letter(shop: Shop, operator: Caller) -> None:
    shop.service.script["charge_card", "action"] = [Rejected("declined")]
    assert shop.land(shop.order()) == "failed"
    assert letters(operator, "?state=any") == []


# --- the page ------------------------------------------------------------------------------------------------------
def test_given_the_page_when_an_operator_decides_then_on_record_and_a_user_may_not(
    shop: Shop, operator: Caller, user: Caller
) -> None:
    given_up(shop)
    given_up(shop)
    (first, second) = letters(operator)
    page = operator.get("/dead-letters").get_data(as_text=True)
    assert page.count(">Resubmit<") == 2
    assert "tok_canary" not in page
    assert (
        operator.get("/dead-letters?step=reserve_stock").get_data(as_text=True).count(">Resubmit<")
        == 0
    )

    def decided(caller: Caller, letter: dict[str, Any], **form: str) -> Any:
        return caller.client.post(
            f"/dead-letters/{letter['id']}", data=form, headers=caller.headers
        )

    assert (
        decided(user, first, decision="redrive", reason="w").status_code
        == user.get("/dead-letters").status_code
        == 403
    )
    assert decided(operator, first, decision="redrive", reason="").status_code == 400
    assert (
        "redriven" in decided(operator, first, decision="redrive", reason="w").headers["Location"]
    )
    assert (
        "moved-on" in decided(operator, first, decision="discard", reason="w").headers["Location"]
    )
    assert (
        "discarded" in decided(operator, second, decision="discard", reason="w").headers["Location"]
    )
    assert "the new job" in operator.get("/dead-letters?state=closed").get_data(as_text=True)


def test_given_more_letters_than_a_page_when_turned_then_each_is_shown_once_and_a_decision_leads_back_to_its_page(
    shop: Shop, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surefoot.web.pages.turning.PAGE_ROWS", 2)
    oldest = shop.asked()
    failed = [given_up(shop) for _ in range(3)]
    seen: list[str] = []
    addresses = ["/dead-letters?why=exhausted&step=charge_card"]
    while addresses[-1] not in addresses[:-1]:
        shown = operator.get(addresses[-1]).get_data(as_text=True)
        seen += re.findall(r'<td><a href="/jobs/([0-9a-f-]{36})"', shown)
        following = re.search(r'href="([^"]+)" rel="next"', shown)
        assert ('">Newest</a>' in shown) == (len(addresses) > 1)
        addresses.append(html.unescape(following.group(1)) if following else addresses[-1])
    assert seen == [*failed[::-1], oldest]
    assert "step=charge_card" in addresses[1]
    assert 'href="/dead-letters?step=charge_card&amp;why=exhausted">Newest</a>' in shown
    first_letter = re.search(r'action="(/dead-letters/[^"]+)"', shown)
    assert first_letter
    decision = {"decision": "redrive", "reason": "the bank is back"}
    back = operator.client.post(
        html.unescape(first_letter.group(1)), data=decision, headers=operator.headers
    ).headers["Location"]
    assert back == f"{addresses[1]}&said=redriven"
    again = operator.get(back).get_data(as_text=True)
    assert "It is redriven." in again
    assert re.findall(r'<td><a href="/jobs/([0-9a-f-]{36})"', again) == seen[3:]
