"""A secret of an input is shown nowhere: every page, answer and reading command is asked, a new one by itself."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.config import settings
from surefoot.app.saga.naming import effect_key
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, operations, reconciliations
from tests.contract.views.shop import Caller, Shop
from tests.support.commands import leaves
from tests.support.leaky_saga import CANARY, GIVEN, PIN, SECRETS, WORD, leaky
from tests.support.world import World

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
READS = ("list", "show", "why", "history", "watch")  # the last word of a command that reads


class Leaky(Shop):
    """A store with `leaky` in it."""

    def __init__(self, url: str) -> None:
        self.url, self.apps, self.running = url, [], None  # type: ignore[assignment]
        World.__init__(self, url, [leaky(self.in_the_middle)], None, reconcile_rows=5)  # type: ignore[arg-type]

    def in_the_middle(self) -> None:
        if self.running is not None:
            self.running()

    def said(self, **more: Any) -> str:
        return self.submit(input={**GIVEN, **more})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Leaky]:
    world = Leaky(
        f"sqlite:///{tmp_path / 'surefoot.sqlite'}"
    )  # what is shown is the same code on both databases
    yield world
    world.close()


def told(text: str) -> list[str]:
    """The secrets that stand in a text, in any case of letters."""
    return [hidden for hidden in SECRETS if hidden.lower() in text.lower()]


def page_of(app: Flask, key: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"key": key, "next": "/"}).status_code == 303
    return client


def read_all(app: Flask, key: str, names: dict[str, list[str]]) -> list[tuple[str, str]]:
    """(path, answer) of every GET of the application. `names`: what a part of a path may be; a new part must be named here."""
    answers = []
    page, caller = page_of(app, key), Caller(app, key)
    for rule in app.url_map.iter_rules():
        if "GET" not in rule.methods or rule.endpoint == "static":
            continue
        paths = [rule.rule]
        for part in re.findall(r"<[^>]+>", rule.rule):
            paths = [
                path.replace(part, value)
                for path in paths
                for value in names[part.strip("<>").rpartition(":")[2]]
            ]
        for path in paths:
            answer = caller.get(path) if path.startswith(("/api/", "/metrics")) else page.get(path)
            assert answer.status_code < 500, path
            answers.append((path, answer.get_data(as_text=True) + str(answer.headers)))
    return answers


def reading_commands(jobs: list[str], letters: list[str]) -> list[list[str]]:
    """The words of every command that reads, for people and as JSON."""
    values = {"job": jobs, "letter": letters, "name": ["leaky"], "message": [], "names": []}

    found = []
    for path, command in leaves():
        words = list(path)
        if words[-1] not in READS:
            continue
        arguments = [p.name for p in command.params if isinstance(p, click.Argument)]
        lines = [[*words, value] for value in values[arguments[0]]] if arguments else [words]
        has_json = any(p.name == "as_json" for p in command.params)
        found += [*lines, *([[*line, "--json"] for line in lines] if has_json else [])]
    return found


@pytest.fixture
def jobs(world: Leaky) -> list[str]:
    """One that went well, one that was refused, one that asks a person, and one that waits for that one's lock."""
    well, refused, asks = (
        world.said(),
        world.said(sku="pear", end="refused"),
        world.said(sku="plum", end="undo_fails"),
    )
    assert [world.land(job) for job in (well, refused, asks)] == [
        "completed",
        "failed",
        "attention",
    ]
    waits = world.said(sku="plum")
    world.drain()
    assert world.operation(waits, "speak").wait_reason == "lock"
    with world.db.begin() as tx:
        key = effect_key(well, "speak", "", "action")
        row = {
            "job_id": well,
            "saga": "leaky",
            "step": "speak",
            "item": "",
            "service": "a",
            "key": key,
            "finding": "different",
        }
        tx.execute(
            reconciliations.insert().values(
                id=asks, tenant_id=world.tenant, action="asked", detail={}, actor="test", **row
            )
        )
    return [well, refused, asks, waits]


def test_given_secrets_said_everywhere_when_every_page_and_answer_is_read_then_none(
    world: Leaky, jobs: list[str]
) -> None:
    app = world.web()
    with reading(world.db) as connection:
        letters = list(connection.scalars(select(dead_letters.c.id)))
    assert letters
    names = {
        "job_id": jobs,
        "letter_id": letters,
        "name": ["leaky"],
        "message_id": jobs[:1],
        "slug": ["conflict"],
    }
    names |= {"step": ["speak"], "finding_id": jobs[2:3]}
    answers = read_all(app, world.key("admin"), names)
    assert [(path, told(text)) for path, text in answers if told(text)] == []
    assert sum("***" in text for _, text in answers) > 10, "what is hidden is there, and masked"
    pages = {path: text for path, text in answers if path in [f"/jobs/{job}" for job in jobs]}
    assert all("leaky" in text for text in pages.values())
    assert len(pages) == len(jobs)


def test_given_a_form_with_a_fault_when_drawn_again_then_its_secrets_are_not_in_it(
    world: Leaky,
) -> None:
    page = page_of(world.web(), world.key("user"))
    drawn = page.get("/?saga=leaky").get_data(as_text=True)
    assert re.findall(r'name="f.(\w+)" value="([^"]*)" type="password"', drawn) == [
        ("card", ""),
        ("pin", ""),
        ("word", ""),
    ]
    form = {
        "saga": "leaky",
        "key": "k",
        "f.sku": "",
        "f.card": CANARY,
        "f.pin": str(PIN),
        "f.word": WORD,
        "f.end": "seen",
    }
    again = page.post("/jobs", data=form)
    text = again.get_data(as_text=True)
    assert (again.status_code, told(html.unescape(text)), 'value="seen"' in text) == (422, [], True)


def test_given_a_step_under_way_when_it_tells_its_progress_then_it_is_shown_masked(
    world: Leaky,
) -> None:
    caller = Caller(world.web(), world.key("admin"))
    seen: list[str] = []
    job = world.said()
    world.running = lambda: seen.extend(
        caller.get(f"/api/v1/jobs/{job}{tail}").get_data(as_text=True) for tail in ("", "/why")
    )  # type: ignore[assignment]
    assert world.land(job) == "completed"
    assert len(seen) == 2
    assert [told(text) for text in seen] == [[], []]
    assert all("charging *** *** ***" in text for text in seen)


def test_given_secrets_said_everywhere_when_every_reading_command_is_run_then_none(
    world: Leaky,
    jobs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", world.url)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    settings.cache_clear()
    with reading(world.db) as connection:
        letters = list(connection.scalars(select(dead_letters.c.id)))
    lines = [
        line
        for line in reading_commands(jobs[:3], letters)
        if line[:2] != ["jobs", "watch"] or line[2] in jobs[:2]
    ]
    assert len(lines) > 20
    masked = 0
    for line in lines:
        assert outcome(Commands(COMMANDS), line) in (0, 1, 2), line
        printed = capsys.readouterr()
        assert told(printed.out + printed.err) == [], line
        masked += "***" in printed.out
    assert masked > 8
    settings.cache_clear()


def test_given_secrets_said_everywhere_when_kept_then_what_steps_need_is_the_truth(
    world: Leaky, jobs: list[str]
) -> None:
    o = operations.c
    with reading(world.db) as connection:
        row = connection.execute(
            select(operations).where(o.job_id == jobs[0], o.step == "speak", o.kind == "action")
        ).one()
    assert (row.result["card"], row.checkpoint) == (CANARY, {"card": CANARY})
    assert told(str([row.progress, row.error])) == []


RUN = """
import sys
from surefoot.app import logs
logs.configure()
logs.hide_prints()
from tests.support.leaky_saga import GIVEN, leaky
from tests.support.world import World
world = World(sys.argv[1], [leaky()], None)
print("began", world.land(world.submit(input=GIVEN)), world.land(world.submit(input=GIVEN | {"end": "undo_fails"})))
"""


def test_given_secrets_said_everywhere_when_a_worker_writes_its_log_then_none(
    tmp_path: Path,
) -> None:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "SUREFOOT_LOG_FORMAT": "text"}
    words = [sys.executable, "-c", RUN, f"sqlite:///{tmp_path / 'store.sqlite'}"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert "began completed attention" in done.stdout
    assert told(done.stdout + done.stderr) == []
    for part in ("event ***", "library *** *** ***", "Bad_***", "a.library"):
        assert part in done.stderr, part
    assert "printed *** *** ***" in done.stdout
