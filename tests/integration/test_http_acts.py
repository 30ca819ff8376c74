"""Every way in by which a person changes something leaves an act: each address that takes one,
and each command.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from surefoot.app.access import keys
from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.store.acts import Asked
from surefoot.app.store.views.acts import acts_view
from tests.contract.views.shop import Caller, Shop
from tests.support.commands import leaves

JOBS, LETTERS, FINDINGS = "/api/v1/jobs", "/api/v1/dead-letters", "/api/v1/reconciliations"
WHY = {"reason": "w"}
Case = tuple[Callable[["Scene"], tuple[str, Any]], str]


class Scene:
    """A shop with something to do for each way in. Each method makes what is acted upon, and
    returns its id.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def running(self) -> str:
        self.shop.drain()
        job = self.shop.order()
        self.shop.deliver(self.shop.next("shop.create_order"))
        return job

    def asked(self) -> str:
        return self.shop.asked()

    def failed(self) -> str:
        self.shop.service.script["charge_card", "action"] = [RuntimeError("bank: 503")] * 5
        job = self.shop.order()
        assert self.shop.land(job) == "failed"
        return job

    def letter(self, job: str) -> str:
        return str(self.shop.letters(job)[0].id)

    def doubtful(self) -> str:
        self.shop.service.script["confirm_order", "action"] = [TimeoutError("no answer")] * 5
        job = self.shop.order()
        assert self.shop.land(job) == "attention"
        return job

    def owned(self) -> str:
        job = self.asked()
        assert (
            self.http.post(f"{JOBS}/{job}/attention/assign", {"owner": "bert"}).status_code == 202
        )
        return job

    def dated(self) -> str:
        job = self.failed()
        body = {"reason": "w", "rate": 0.001, "filter": {"job": job}}
        assert self.http.post(f"{LETTERS}/redrive", body).status_code == 202
        return job

    def message(self) -> str:
        return quarantine.keep(
            self.shop.db, "no task", Unrunnable(queue="a", body=b"x", headers={})
        )

    def finding(self) -> str:
        return self.shop.orphan(self.app)[0]

    @property
    def http(self) -> Caller:
        return Caller(self.app, self.shop.key("platform"))

    app: Flask


@pytest.fixture
def scene(shop: Shop, app: Flask) -> Scene:
    made = Scene(shop)
    made.app = app
    return made


def newest(shop: Shop) -> dict[str, Any] | None:
    rows, _ = acts_view(shop.db, Asked())
    return rows[0] if rows else None


def of_letter(word: str, job: Callable[[Scene], str]) -> Callable[[Scene], tuple[str, Any]]:
    return lambda s: (f"{LETTERS}/{s.letter(job(s))}/{word}", WHY)


def of_step(
    step: str, word: str, job: Callable[[Scene], str]
) -> Callable[[Scene], tuple[str, Any]]:
    return lambda s: (f"{JOBS}/{job(s)}/effects/{step}/{word}", WHY)


def on_page(
    path: str, job: Callable[[Scene], str], **form: str
) -> Callable[[Scene], tuple[str, Any]]:
    def case(s: Scene) -> tuple[str, Any]:
        job_id = job(s)
        named = {"job": job_id, "letter": s.letter(job_id) if "{letter}" in path else ""}
        return path.format(**named), form

    return case


# endpoint -> (how it is asked, the act that it leaves)
BY_HTTP: dict[str, Case] = {
    "jobs.cancel": (lambda s: (f"{JOBS}/{s.running()}/cancel", None), "cancel"),
    "jobs.redrive": (lambda s: (f"{JOBS}/{s.asked()}/redrive", WHY), "redrive"),
    "jobs.resubmit": (lambda s: (f"{JOBS}/{s.failed()}/resubmit", None), "resubmit"),
    "attention.take": (lambda s: (f"{JOBS}/{s.asked()}/attention/take", None), "take"),
    "attention.assign": (
        lambda s: (f"{JOBS}/{s.asked()}/attention/assign", {"owner": "bert"}),
        "assign",
    ),
    "attention.release": (lambda s: (f"{JOBS}/{s.owned()}/attention/release", None), "release"),
    "effects.redrive": (of_step("charge_card", "redrive", Scene.asked), "redrive"),
    "effects.mark_done": (of_step("charge_card", "mark-done", Scene.asked), "mark-done"),
    "effects.waive": (of_step("charge_card", "waive", Scene.asked), "waive"),
    "effects.mark_absent": (of_step("confirm_order", "mark-absent", Scene.doubtful), "mark-absent"),
    "letters.redrive_one": (of_letter("redrive", Scene.failed), "resubmit"),
    "letters.discard": (of_letter("discard", Scene.failed), "discard"),
    "letters.redrive_many": (
        lambda s: (f"{LETTERS}/redrive", WHY | {"filter": {"job": s.failed()}}),
        "redrive-many",
    ),
    "letters.cancel_redrive": (
        lambda s: (f"{LETTERS}/cancel-redrive", WHY | {"filter": {"job": s.dated()}}),
        "cancel-redrive",
    ),
    "quarantine.discard": (lambda s: (f"/api/v1/quarantine/{s.message()}/discard", WHY), "discard"),
    "reconciliations.adopt": (lambda s: (f"{FINDINGS}/{s.finding()}/adopt", WHY), "adopt"),
    "reconciliations.undo": (lambda s: (f"{FINDINGS}/{s.finding()}/undo", WHY), "undo"),
    "reconciliations.close": (lambda s: (f"{FINDINGS}/{s.finding()}/close", WHY), "close"),
    "reconciliations.run": (lambda s: ("/api/v1/reconcile", None), "reconcile"),
    "job.cancel": (on_page("/jobs/{job}/cancel", Scene.running), "cancel"),
    "job.redrive": (on_page("/jobs/{job}/redrive", Scene.asked, reason="w"), "redrive"),
    "job.resubmit": (on_page("/jobs/{job}/resubmit", Scene.failed), "resubmit"),
    "job.decide_letter": (
        on_page("/jobs/{job}/letters/{letter}", Scene.asked, decision="waive", reason="w"),
        "waive",
    ),
    "job.own": (on_page("/jobs/{job}/attention", Scene.asked, owner="take"), "take"),
    "letters_page.decide": (
        on_page("/dead-letters/{letter}", Scene.failed, decision="discard", reason="w"),
        "discard",
    ),
}
# What changes something and leaves no act, with the record that it leaves.
OTHERWISE = {
    "jobs.submit": "the first line of the job's history",
    "home.submit": "the same",
    "sign_in.enter": "the session's own row",
    "sign_in.again": "nothing is changed: it shows the sign-in with what was typed",
    "sign_in.leave": "the same",
    "sessions_page.end": "the same: people end their own sessions",
    "sessions_page.end_all": "the same",
}


def test_given_the_addresses_that_change_something_then_each_leaves_an_act_or_another_record(
    app: Flask,
) -> None:
    changing = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.methods - {"GET", "HEAD", "OPTIONS"}
    }
    assert changing == set(BY_HTTP) | set(OTHERWISE)


@pytest.mark.parametrize("endpoint", BY_HTTP)
def test_given_each_address_when_a_person_changes_something_then_the_act_names_their_key(
    scene: Scene, app: Flask, endpoint: str
) -> None:
    ask, word = BY_HTTP[endpoint]
    path, body = ask(scene)
    key_id, text = keys.create(scene.shop.db, "default", "platform", "ada")
    page = not path.startswith("/api/")
    headers = {"Authorization": f"Bearer {text}"}
    adapter = app.url_map.bind("localhost")
    assert adapter.match(path, method="POST")[0] == endpoint
    before = newest(scene.shop)
    answer = app.test_client().post(
        path, headers=headers, **({"data": body} if page else {"json": body} if body else {})
    )
    assert answer.status_code in ((303,) if page else (202,)), answer.get_data(as_text=True)
    act = newest(scene.shop)
    assert act is not None
    assert act != before
    assert (act["act"], act["key_id"], act["actor"]) == (word, key_id, "platform:ada")
    assert (act["reason"] or "w") in ("w", "resubmitted")
    if word not in ("redrive-many", "cancel-redrive"):
        assert act["job"] is None or act["job"] in path or act["object"]["id"] in path


# --- commands ------------------------------------------------------------------------------------
# --------------------
Words = Callable[[Scene], list[str]]
BY_COMMAND: dict[str, tuple[Words, str]] = {
    "jobs cancel": (lambda s: ["jobs", "cancel", s.running()], "cancel"),
    "jobs redrive": (lambda s: ["jobs", "redrive", s.asked(), "--reason", "w"], "redrive"),
    "jobs resubmit": (lambda s: ["jobs", "resubmit", s.failed(), "--reason", "w"], "resubmit"),
    "attention redrive": (
        lambda s: ["attention", "redrive", s.asked(), "charge_card", "--reason", "w"],
        "redrive",
    ),
    "attention mark-done": (
        lambda s: ["attention", "mark-done", s.asked(), "charge_card", "--reason", "w"],
        "mark-done",
    ),
    "attention waive": (
        lambda s: ["attention", "waive", s.asked(), "charge_card", "--reason", "w"],
        "waive",
    ),
    "attention mark-absent": (
        lambda s: ["attention", "mark-absent", s.doubtful(), "confirm_order", "--reason", "w"],
        "mark-absent",
    ),
    "attention take": (lambda s: ["attention", "take", s.asked()], "take"),
    "attention release": (lambda s: ["attention", "release", s.owned()], "release"),
    "dead-letters redrive": (
        lambda s: ["dead-letters", "redrive", "--job", s.failed(), "--reason", "w"],
        "redrive-many",
    ),
    "dead-letters cancel-redrive": (
        lambda s: ["dead-letters", "cancel-redrive", "--job", s.dated(), "--reason", "w"],
        "cancel-redrive",
    ),
    "dead-letters discard": (
        lambda s: ["dead-letters", "discard", s.letter(s.failed()), "--reason", "w"],
        "discard",
    ),
    "quarantine discard": (
        lambda s: ["quarantine", "discard", s.message(), "--reason", "w"],
        "discard",
    ),
    "reconcile": (lambda s: ["reconcile"], "reconcile"),
    "reconcile close": (lambda s: ["reconcile", "close", s.finding(), "--why", "w"], "close"),
    "reconcile adopt": (lambda s: ["reconcile", "adopt", s.finding(), "--why", "w"], "adopt"),
    "sagas retire": (lambda s: ["sagas", "retire", "shop", "1", "--reason", "w"], "retire"),
    "keys create": (lambda s: ["keys", "create", "--name", "laptop"], "create"),
    "keys revoke": (lambda s: ["keys", "revoke", keys.create(s.shop.db)[0]], "revoke"),
    "keys sign-out": (lambda s: ["keys", "sign-out", keys.create(s.shop.db)[0]], "sign-out"),
}
# What reads, or is no act about anything in the store; and what has its record elsewhere.
READING = {"list", "show", "why", "history", "watch", "versions", "lint", "sessions"}
ELSEWHERE = {
    "submit": "the first line of the job's history",
    "db upgrade": "the revision",
    "db drop-old-names": "views of tables go, and no row changes",
    "reconcile undo": "as `adopt`: its saga's code takes the effect back (test_restored_store.py)",
    **dict.fromkeys(("up", "web", "worker", "relay", "flower"), "starts a process"),
    **dict.fromkeys(("drill", "bench", "simulate"), "in stores of its own"),
    **dict.fromkeys(("doctor", "deploy-check", "version"), "reads"),
    **dict.fromkeys(
        ("bank", "stock", "ledger", "rush", "timeline"),
        "of the shop's services and their own databases",
    ),
    **dict.fromkeys(("choreography serve", "choreography letters"), "the same"),
    **dict.fromkeys(
        ("choreography redrive", "choreography discard"),
        "the same: the letter itself says who and why",
    ),
}


def test_given_the_commands_then_each_that_changes_something_leaves_an_act_or_another_record() -> (
    None
):
    changing = {" ".join(words) for words, _ in leaves() if words[-1] not in READING}
    assert changing == set(BY_COMMAND) | set(ELSEWHERE)


@pytest.fixture
def cli(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("DATABASE_URL", shop.url)
    monkeypatch.setenv("SUREFOOT_SAGAS", "tests.support.transfer_saga")

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        return outcome(Commands(COMMANDS), list(words)), capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", BY_COMMAND)
def test_given_each_command_when_a_person_changes_something_then_an_act_names_them(
    scene: Scene, cli: Any, name: str
) -> None:
    say, word = BY_COMMAND[name]
    words = say(scene)
    before = newest(scene.shop)
    code, said = cli(*words)
    assert code == 0, said
    act = newest(scene.shop)
    assert act is not None
    assert act != before
    assert (act["act"], act["key_id"]) == (word, None)
    assert act["actor"].startswith("cli:")
    assert act["reason"] == ("w" if "w" in words[1:] else None)


def test_given_acts_when_listed_by_command_then_the_newest_and_what_is_left_out(
    scene: Scene, cli: Any
) -> None:
    assert cli("acts", "list")[1].strip() == "There are no such acts."
    job, letter = scene.failed(), ""
    letter = scene.letter(job)
    for _ in range(2):
        scene.http.post(f"{LETTERS}/redrive", {"reason": "the bank is back", "rate": 0.001})
        scene.http.post(f"{LETTERS}/cancel-redrive", {"reason": "it is not"})
    code, said = cli("acts", "list", "--limit", "3")
    assert (code, said.count("redrive-many"), said.count("cancel-redrive")) == (0, 1, 2)
    assert "the bank is back" in said
    older = said.partition("--until ")[2].partition(",")[0]
    assert cli("acts", "list", "--until", older)[1].count("redrive-many") == 1
    rows = json.loads(cli("acts", "list", "--job", job, "--json")[1])
    assert [row["act"] for row in rows] == ["cancel-redrive", "redrive-many"] * 2
    assert {row["object"]["id"] for row in rows} == {letter}
    assert len(json.loads(cli("acts", "list", "--actor", rows[0]["actor"], "--json")[1])) == 4
    assert json.loads(cli("acts", "list", "--since", "2999-01-01", "--json")[1]) == []
    assert cli("acts", "list", "--since", "yesterday")[0] == 2


# --- over HTTP -----------------------------------------------------------------------------------
# --------------------
def test_given_acts_when_asked_over_http_then_an_operator_sees_those_of_the_own_tenant_by_pages(
    scene: Scene, app: Flask
) -> None:
    job = scene.owned()
    for _ in range(2):
        scene.http.post(f"{JOBS}/{job}/attention/take")
        scene.http.post(f"{JOBS}/{job}/attention/assign", {"owner": "bert"})
    operator, user = Caller(app, scene.shop.key("operator")), Caller(app, scene.shop.key())
    stranger = Caller(app, scene.shop.key("operator", tenant="elsewhere"))
    assert user.get("/api/v1/acts").status_code == 403
    assert stranger.get("/api/v1/acts").get_json()["items"] == []
    assert stranger.get(f"/api/v1/acts?job={job}").get_json()["items"] == []
    seen, path = [], f"/api/v1/acts?job={job}&limit=2"
    while path:
        page = operator.get(path)
        seen += page.get_json()["items"]
        path = (
            page.headers["Link"].partition("<")[2].partition(">")[0]
            if "Link" in page.headers
            else ""
        )
    assert {one["act"] for one in seen} == {"assign"}  # bert has it: it cannot be taken
    assert len(seen) == 3
    assert {one["actor"] for one in seen} == {"platform:default platform"}
    first = seen[-1]["at"]
    assert len(operator.get(f"/api/v1/acts?since={first}").get_json()["items"]) == 3
    assert operator.get(f"/api/v1/acts?until={first}").get_json()["items"] == []
    for wrong in (
        "since=yesterday",
        "since=2026-11-28T10:00:00",
        "until=",
        "job=7",
        "limit=0",
        "who=ada",
        "actor=",
    ):
        assert operator.get(f"/api/v1/acts?{wrong}").status_code == 422, wrong
