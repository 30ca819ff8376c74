"""The tree of commands: what the list of all costs and says, what each command offers to programs, what Tab offers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import ENDS, Commands, outcome
from surefoot.app.config import settings
from surefoot.app.supervisor import plugins
from tests.support.commands import leaves
from tests.support.world import Participant, World, diamond

ROOT = Path(__file__).parents[3]
PROCESSES = {
    "up",
    "web",
    "worker",
    "relay",
    "flower",
    "bank",
    "choreography serve",
}  # they answer nobody and do not end
HEAVY = {
    "sqlalchemy",
    "celery",
    "kombu",
    "flask",
    "pydantic",
    "redis",
    "httpx",
    "structlog",
    "alembic",
}


def test_given_help_and_the_version_when_asked_then_none_of_the_large_libraries_is_read() -> None:
    talk = """
import sys
from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
assert outcome(Commands(COMMANDS), [sys.argv[1]]) == 0
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
    for asked in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", talk, asked],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.strip()
        assert HEAVY & set(done.stderr.split()) == set(), asked


def test_given_the_list_of_all_when_shown_then_in_panels_with_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(Commands(COMMANDS), ["--help"]) == 0
    said = capsys.readouterr().out
    headings = [
        line.split("─ ")[1].split(" ─")[0] for line in said.splitlines() if line.startswith("╭─ ")
    ]
    assert headings == ["Run", "Jobs", "Operate", "Develop", "Example shop", "Options"]
    assert "Exit codes: 0 it is done" in said
    assert set(ENDS.split()) <= set(said.split())


def test_given_each_command_then_its_line_in_the_list_is_its_own_first_sentence() -> None:
    group = Commands(COMMANDS)
    for name, one in {**COMMANDS, **plugins.listed()}.items():
        command = group.load(name)
        assert command is not None and command.help is not None, name
        first = " ".join(command.help.split("\n\n")[0].split())
        assert first.startswith(one.help.rstrip(".")), (
            f"{name}: {first!r} is listed as {one.help!r}"
        )


def test_given_the_version_when_asked_then_it_is_the_packages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(Commands(COMMANDS), ["--version"]) == 0
    assert capsys.readouterr().out.startswith("surefoot 0.")


@pytest.mark.parametrize(
    ("written", "meant"), [("jbos", "jobs"), ("stcok", "stock"), ("dead-leters", "dead-letters")]
)
def test_given_a_slip_when_run_then_the_command_that_was_meant_is_named(
    written: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(Commands(COMMANDS), [written]) == 2
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


TREE = {" ".join(words): command for words, command in leaves()}


@pytest.mark.parametrize("words", sorted(set(TREE) - PROCESSES))
def test_given_a_command_that_acts_or_reads_then_it_speaks_json(words: str) -> None:
    options = {option for parameter in TREE[words].params for option in parameter.opts}
    assert "--json" in options


@pytest.mark.parametrize("words", sorted(TREE))
def test_given_a_job_or_a_saga_as_an_argument_then_the_shell_completes_it(words: str) -> None:
    for parameter in TREE[words].params:
        named = {"job", "saga"} & {str(parameter.name)} or (
            words.startswith("sagas ") and parameter.name in ("name", "names")
        )
        if named and not isinstance(parameter.type, click.Choice):
            assert parameter._custom_shell_complete is not None, f"{words}: {parameter.name}"


# --- what Tab offers -----------------------------------------------------------------------------------------------
@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    url = f"sqlite:///{tmp_path / 'surefoot.sqlite'}"
    world = World(url, [diamond(service := Participant())], service)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    settings.cache_clear()
    yield world
    world.db.dispose()
    settings.cache_clear()


def offered(*words: str) -> list[str]:
    *args, begun = words
    return [
        item.value
        for item in ShellComplete(Commands(COMMANDS), {}, "surefoot", "_X").get_completions(
            args, begun
        )
    ]


def test_given_jobs_and_sagas_when_completed_then_names_and_whole_ids(
    shop: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = shop.submit()
    saga = shop.registry.all()[0].name
    (name,) = offered("jobs", "show", f"{saga}-")
    assert name.startswith(f"{saga}-") and offered("attention", "redrive", name[:-2].lower()) == [
        name
    ]
    assert offered("jobs", "why", job[:8]) == [job]
    assert offered("jobs", "cancel", "zzz") == []
    assert (
        offered("submit", saga[:2])
        == [saga]
        == offered("sagas", "show", "")
        == offered("jobs", "list", "--saga", "")
    )
    assert "dead-letters" in offered("dea")
    assert capsys.readouterr() == ("", "")


def test_given_no_store_or_a_broken_setting_when_completed_then_nothing_is_offered_and_nothing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "none"))
    settings.cache_clear()
    assert offered("jobs", "show", "") == []
    monkeypatch.setenv("PORT", "99999999")
    settings.cache_clear()
    assert offered("submit", "") == []
    assert capsys.readouterr() == ("", "")
    settings.cache_clear()


# --- acts as JSON --------------------------------------------------------------------------------------------------
def test_given_a_job_when_cancelled_and_run_again_then_one_document_each(
    shop: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*words: str) -> dict[str, Any]:
        assert outcome(Commands(COMMANDS), [*words, "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    job = shop.submit()
    cancelled = answer("jobs", "cancel", job)
    assert (cancelled["id"], cancelled["state"], cancelled["landed"]) == (job, "cancelled", True)
    again = answer("jobs", "resubmit", job)
    assert (
        again["resubmission_of"] == job
        and again["id"] != job
        and again["message"].startswith("It is resubmitted")
    )
    assert shop.land(again["id"]) == "completed"
    assert answer("jobs", "watch", again["id"])["state"] == "completed"
