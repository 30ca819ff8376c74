"""Who sees to a job that asks a person, and what is in quarantine: over HTTP, by the command line, and in the metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.gauges import Gauges
from tests.contract.views.shop import Caller, Shop

JOBS, QUARANTINE = "/api/v1/jobs", "/api/v1/quarantine"
WHY = {"reason": "seen"}


@pytest.fixture
def asked(shop: Shop) -> str:
    return shop.asked()


@pytest.fixture
def cli(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> Any:
    monkeypatch.setenv("DATABASE_URL", shop.url)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = outcome(Commands(COMMANDS), list(words))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_given_job_that_asks_when_taken_then_it_has_an_owner_and_a_since_until_it_is_decided(
    shop: Shop, app: Flask, operator: Caller, asked: str
) -> None:
    before = operator.get(f"{JOBS}/{asked}")
    view = before.get_json()
    assert view["attention"]["since"] and view["attention"]["owner"] is None
    taken = operator.post(f"{JOBS}/{asked}/attention/take").get_json()
    assert taken["attention"]["owner"] == "operator:default operator"
    assert (
        operator.get(f"{JOBS}/{asked}", **{"If-None-Match": before.headers["ETag"]}).status_code
        == 200
    )
    (listed,) = operator.get(f"{JOBS}?state=attention").get_json()["items"]
    assert listed["attention"] == taken["attention"]
    other = Caller(app, shop.key("admin"))
    assert other.post(f"{JOBS}/{asked}/attention/take").status_code == 409
    assert (
        other.post(f"{JOBS}/{asked}/attention/assign", {"owner": "bert"}).get_json()["attention"][
            "owner"
        ]
        == "bert"
    )
    assert other.post(f"{JOBS}/{asked}/attention/release").get_json()["attention"]["owner"] is None
    assert other.post(f"{JOBS}/{asked}/attention/release").status_code == 409
    other.post(f"{JOBS}/{asked}/attention/take")
    assert (
        operator.post(f"{JOBS}/{asked}/effects/charge_card/waive", WHY).get_json()["attention"]
        is None
    )
    assert operator.post(f"{JOBS}/{asked}/attention/take").status_code == 409
    assert (shop.job(asked).owner, shop.job(asked).attention_since) == (None, None)
    events = [
        event["event"] for event in operator.get(f"{JOBS}/{asked}/history").get_json()["items"]
    ]
    assert events.count("assigned") == 3 and events.count("released") == 1


def test_given_a_users_key_when_attention_or_quarantine_is_asked_then_403(
    shop: Shop, user: Caller, asked: str
) -> None:
    message = quarantine.keep(shop.db, "r", Unrunnable(queue="q", body="b", headers={}))
    for word in ("take", "release", "assign"):
        assert (
            user.post(
                f"{JOBS}/{asked}/attention/{word}", {"owner": "x"} if word == "assign" else None
            ).status_code
            == 403
        )
    assert (
        user.get(QUARANTINE).status_code == user.get(f"{QUARANTINE}/{message}").status_code == 403
    )
    assert user.post(f"{QUARANTINE}/{message}/discard", WHY).status_code == 403


def test_given_asking_jobs_and_quarantined_messages_then_the_metrics_count_them(
    shop: Shop, operator: Caller, asked: str
) -> None:
    quarantine.keep(shop.db, "r", Unrunnable(queue="q", body="b", headers={}))
    text = Gauges(shop.db, shop.settings).text().decode()
    assert 'surefoot_jobs_open{saga="shop",state="attention"} 1.0' in text
    assert 'surefoot_jobs_attention_unowned{saga="shop"} 1.0' in text
    assert 'surefoot_jobs_attention_oldest_age_seconds{saga="shop"}' in text
    assert "surefoot_quarantine_messages 1.0" in text
    operator.post(f"{JOBS}/{asked}/attention/take")
    assert (
        'surefoot_jobs_attention_unowned{saga="shop"} 0.0'
        in Gauges(shop.db, shop.settings).text().decode()
    )


def test_given_quarantined_messages_when_looked_at_then_listed_shown_and_laid_aside(
    shop: Shop, platform: Caller
) -> None:
    ids = [
        quarantine.keep(
            shop.db, f"r{n}", Unrunnable(queue="lane", body=b"\x00{", headers={"task": "x"}, size=2)
        )
        for n in range(3)
    ]
    first = platform.get(f"{QUARANTINE}?limit=2").get_json()
    assert [row["reason"] for row in first["items"]] == ["r2", "r1"]
    rest = platform.get(f"{QUARANTINE}?limit=2&cursor={first['next']}").get_json()
    assert ([row["id"] for row in rest["items"]], rest["next"]) == ([ids[0]], None)
    whole = platform.get(f"{QUARANTINE}/{ids[0]}").get_json()
    assert (whole["headers"], whole["body"], whole["size"], whole["queue"]) == (
        {"task": "x"},
        "\\x00{",
        2,
        "lane",
    )
    assert (
        platform.post(f"{QUARANTINE}/{ids[0]}/discard", WHY).get_json()["discarded_why"] == "seen"
    )
    assert platform.post(f"{QUARANTINE}/{ids[0]}/discard", WHY).status_code == 409
    assert len(platform.get(QUARANTINE).get_json()["items"]) == 2
    assert [
        row["id"] for row in platform.get(f"{QUARANTINE}?state=discarded").get_json()["items"]
    ] == [ids[0]]
    assert platform.get(f"{QUARANTINE}/nonsense").status_code == 404


def test_given_the_command_line_then_the_same(shop: Shop, cli: Any, asked: str) -> None:
    assert cli("attention", "take", asked)[0] == 0
    (row,) = json.loads(cli("attention", "list", "--json")[1])
    assert row["owner"].startswith("cli:") and row["since"]
    assert cli("attention", "take", asked, "--for", "anna")[1].strip() == "anna has it."
    assert cli("attention", "take", asked)[0] == 2
    assert cli("attention", "release", asked)[0] == 0
    message = quarantine.keep(
        shop.db, "forged", Unrunnable(queue="q", body="b", headers={"id": "7"})
    )
    assert "forged" in cli("quarantine", "list")[1]
    assert "forged" in cli("quarantine", "show", message)[1]
    assert cli("quarantine", "discard", message, "--reason", "seen")[0] == 0
    assert json.loads(cli("quarantine", "list", "--json")[1]) == []
