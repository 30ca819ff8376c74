"""Reconciliation over HTTP and by the command line, for operators."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.engine.operators import sla
from surefoot.app.engine.reconcile import run as reconcile
from surefoot.app.saga.registry import Registry
from surefoot.app.store import reconciliations
from surefoot.app.store.session import reading
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import Caller, Shop

LIST, RUN = "/api/v1/reconciliations", "/api/v1/reconcile"
LATE_S = 3601.0


def late_job(shop: Shop) -> str:
    job = shop.order()
    shop.let_pass(LATE_S)
    sla.act_on_batch(shop.db, shop.settings, None, "test")
    return job


def test_given_findings_when_listed_then_pages_and_open_ones_alone_unless_asked(
    shop: Shop, operator: Caller
) -> None:
    first, second = late_job(shop), late_job(shop)
    page = operator.get(f"{LIST}?limit=1").get_json()
    rest = operator.get(f"{LIST}?limit=1&cursor={page['next']}").get_json()
    assert [page["items"][0]["job"], rest["items"][0]["job"], rest["next"]] == [second, first, None]
    one = page["items"][0]
    assert (one["finding"], one["action"], one["key"], one["links"]["job"]) == (
        "late",
        "reported",
        second,
        f"/api/v1/jobs/{second}",
    )
    assert shop.land(first) == shop.land(second) == "completed"
    sla.close_landed(shop.db, "", 10, "test")
    assert operator.get(LIST).get_json()["items"] == []
    closed = operator.get(f"{LIST}?open=false").get_json()["items"][1]
    assert (closed["job"], closed["closed_why"]) == (first, "the job has ended")
    for wrong in ("open=maybe", "color=red"):
        assert operator.get(f"{LIST}?{wrong}").status_code == 422, wrong
    assert operator.get(f"{LIST}?open=false&cursor={page['next']}").status_code == 400


# --- decisions ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("word", ["adopt", "close"])
def test_given_a_finding_when_an_operator_decides_then_it_is_closed_with_who_and_why(
    shop: Shop, app: Flask, operator: Caller, word: str
) -> None:
    finding, _ = shop.orphan(app)
    for wrong in ({}, {"reason": ""}, {"reason": "w", "more": 1}):
        assert operator.post(f"{LIST}/{finding}/{word}", wrong).status_code == 422
    told = operator.post(f"{LIST}/{finding}/{word}", {"reason": "seen to"})
    assert told.status_code == 202
    one = told.get_json()
    assert (one["id"], one["closed_by"], one["closed_why"]) == (
        finding,
        "operator:default operator",
        "seen to",
    )
    assert one["message"] == {"adopt": "It is adopted.", "close": "It is closed."}[word]
    again = operator.post(f"{LIST}/{finding}/{word}", {"reason": "once more"}).get_json()
    assert (again["message"], again["closed_why"]) == ("It was closed before.", "seen to")
    assert operator.get(f"{LIST}/{finding}").get_json() == {
        k: v for k, v in again.items() if k != "message"
    }
    assert operator.get(LIST).get_json()["items"] == []


def test_given_a_finding_when_adopted_by_a_job_then_that_job_s_history_says_so(
    shop: Shop, app: Flask, operator: Caller
) -> None:
    (finding, _), job = shop.orphan(app), shop.order()
    told = operator.post(f"{LIST}/{finding}/adopt", {"reason": "it is hers", "job": job}).get_json()
    assert told["detail"]["accounted_by"] == job
    assert shop.events(job)[-1] == "effect_adopted"
    assert (
        operator.post(f"{LIST}/{finding}/adopt", {"reason": "w", "job": "no id"}).status_code == 422
    )


def test_given_an_undo_that_is_decided_when_the_next_round_comes_then_it_is_done_and_closed(
    shop: Shop, app: Flask, operator: Caller
) -> None:
    finding, undone = shop.orphan(app)
    with shop.db.begin() as tx:
        reconciliations.begin(tx, reconciliations.EFFECTS, 0.0)
    told = operator.post(f"{LIST}/{finding}/undo", {"reason": "its job was lost"}).get_json()
    assert (told["action"], told["closed_at"], undone) == ("undo", None, [])
    assert operator.post(f"{LIST}/{finding}/adopt", {"reason": "or not"}).status_code == 409
    with reading(shop.db) as connection:
        assert reconciliations.is_due(
            connection, reconciliations.EFFECTS, shop.settings.reconcile_seconds
        )
    reconcile.patrol(shop.db, shop.settings, shop.registry, "worker")
    assert undone == [told["key"]]
    closed = operator.get(f"{LIST}/{finding}").get_json()
    assert (closed["action"], closed["closed_by"], closed["closed_why"]) == (
        "undone", "operator:default operator", "its job was lost"
    )  # fmt: skip
    assert operator.post(f"{LIST}/{finding}/undo", {"reason": "again"}).status_code == 409


def test_given_an_undo_that_cannot_be_when_asked_for_then_409_says_why(
    shop: Shop, app: Flask, operator: Caller
) -> None:
    finding, undone = shop.orphan(app, "confirm_order")
    path = f"{LIST}/{finding}/undo"
    assert "point of no return" in operator.post(path, {"reason": "w"}).get_json()["detail"]
    late_one = late_job(shop)
    (row,) = [one for one in operator.get(LIST).get_json()["items"] if one["job"] == late_one]
    assert (
        "Nothing stands there"
        in operator.post(f"{LIST}/{row['id']}/undo", {"reason": "w"}).get_json()["detail"]
    )
    assert (
        "nothing to adopt"
        in operator.post(f"{LIST}/{row['id']}/adopt", {"reason": "w"}).get_json()["detail"]
    )
    off, without = shop.web(reconcile_seconds=0.0), shop.web()
    without.extensions[EXTENSION] = replace(without.extensions[EXTENSION], registry=None)
    for there, said in ((off, "switched off"), (without, "lacks the saga's code")):
        answer = Caller(there, shop.key("operator")).post(
            path, {"reason": "w", "past_return": True}
        )
        assert (answer.status_code, said in answer.get_json()["detail"]) == (409, True)
    assert operator.post(path, {"reason": "w", "past_return": True}).status_code == 202
    assert undone == []


def test_given_somebody_else_s_finding_when_decided_then_it_is_not_there(
    shop: Shop, app: Flask, user: Caller
) -> None:
    finding, _ = shop.orphan(app)
    stranger = Caller(app, shop.key("operator", tenant="elsewhere"))
    for word in ("adopt", "undo", "close"):
        assert stranger.post(f"{LIST}/{finding}/{word}", {"reason": "w"}).status_code == 404
        assert stranger.post(f"{LIST}/nonsense/{word}", {"reason": "w"}).status_code == 404
        assert user.post(f"{LIST}/{finding}/{word}", {"reason": "w"}).status_code == 403
    assert stranger.get(f"{LIST}/{finding}").status_code == 404


def test_given_the_platform_when_a_run_is_asked_for_then_both_rounds_are_due(
    shop: Shop, platform: Caller
) -> None:
    every_s = shop.settings.reconcile_seconds
    answer = platform.post(RUN, {})
    assert (answer.status_code, answer.get_json()["findings"]) == (202, LIST)
    with reading(shop.db) as connection:
        assert all(
            reconciliations.is_due(connection, name, every_s) for name in ("late", "effects")
        )


def test_given_another_key_when_asked_for_then_403_or_401_or_nothing_of_it(
    shop: Shop, app: Flask, user: Caller, operator: Caller
) -> None:
    late_job(shop)
    for caller, status in ((user, 403), (Caller(app, None), 401)):
        assert (caller.get(LIST).status_code, caller.post(RUN, {}).status_code) == (status, status)
    assert Caller(app, shop.key("operator", tenant="other")).get(LIST).get_json()["items"] == []
    assert len(operator.get(LIST).get_json()["items"]) == 1


def test_given_metrics_when_scraped_then_open_findings_are_counted(shop: Shop, app: Flask) -> None:
    late_job(shop)
    scraped = Caller(app, shop.key("platform")).get("/metrics").get_data(as_text=True)
    assert 'surefoot_reconciliation_open{finding="late",saga="shop"} 1.0' in scraped


@pytest.fixture
def cli(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> Any:
    monkeypatch.setenv("DATABASE_URL", shop.url)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    monkeypatch.setattr(Registry, "load", lambda modules: Registry())

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = outcome(Commands(COMMANDS), ["reconcile", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_given_the_command_line_then_dry_run_tells_run_acts_list_shows_and_close_closes(
    shop: Shop, cli: Any
) -> None:
    job = shop.order()
    shop.let_pass(LATE_S)
    code, told = cli("--dry-run", "--json")
    planned = json.loads(told)
    assert (code, planned["dry_run"], [one["key"] for one in planned["findings"]]) == (
        0,
        True,
        [job],
    )
    assert cli("list")[1].strip() == "Nothing is open."

    assert cli()[0] == 0
    assert cli("--json")[0] == 0
    (row,) = json.loads(cli("list", "--json")[1])
    assert (row["job"], row["finding"]) == (job, "late")

    assert cli("close", row["id"][-12:], "--why", "seen to")[1].strip() == "It is closed."
    assert json.loads(cli("list", "--all", "--json")[1])[0]["closed_why"] == "seen to"
    assert cli("close", "nonsense", "--why", "x")[0] == 2
