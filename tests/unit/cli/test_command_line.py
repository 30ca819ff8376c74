"""The command line's manners: one line for an error, the right exit code, commands found where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surefoot.app.access import keys as access
from surefoot.app.access import sessions
from surefoot.app.cli import COMMANDS
from surefoot.app.cli.group import Commands, outcome
from surefoot.app.store.session import open_engine
from tests.support.stores import open_new_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def made_store(home: Path) -> None:
    db = open_new_store(f"sqlite:///{home / 'surefoot.sqlite'}")
    db.dispose()


def run(*words: str) -> int:
    return outcome(Commands(COMMANDS), list(words))


@pytest.mark.parametrize("name", COMMANDS)
def test_given_each_command_when_asked_for_help_then_it_is_there(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(name, "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_given_wrong_words_when_run_then_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("jobs", "nonsense") == 2
    assert "No such command 'nonsense'" in capsys.readouterr().err
    assert run("submit", "order", "{not json") == 2
    assert "The input is not JSON" in capsys.readouterr().err
    assert run("submit", "order", "@/no/such/file") == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("told", ["nobody", ":word", "name:"])
def test_given_password_of_flower_that_lets_nobody_in_when_started_then_refused(
    told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUREFOOT_FLOWER_BASIC_AUTH", told)
    monkeypatch.setattr("surefoot.app.cli.processes.become", lambda *_: None)
    assert run("flower") == 1
    assert capsys.readouterr().err.startswith(
        "surefoot: SUREFOOT_FLOWER_BASIC_AUTH: must be user:password"
    )


def test_given_no_store_when_asked_for_jobs_then_one_line_says_how_to_get_one(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run("jobs", "list") == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "surefoot up" in told[0]
    assert not (home / "surefoot.sqlite").exists()


def test_given_a_file_that_is_no_store_when_asked_for_jobs_then_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "letter.txt").write_text("Dear Ada, " * 100)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{home / 'letter.txt'}")
    assert run("jobs", "list") == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].endswith("letter.txt cannot be used as a store: file is not a database")


def test_given_a_wrong_setting_when_run_then_one_line_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "99999999")
    assert run("jobs", "list") == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "PORT" in told[0]


@pytest.mark.usefixtures("made_store")
def test_given_a_store_when_keys_are_made_and_revoked_then_the_list_tells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("keys", "create", "--role", "operator", "--name", "laptop", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["key"].startswith("sf_")
    assert run("keys", "revoke", made["id"]) == 0
    capsys.readouterr()
    assert run("keys", "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["role"], row["name"]) == ("operator", "laptop")
    assert row["revoked_at"]


@pytest.mark.usefixtures("made_store")
def test_given_a_browser_that_is_signed_in_when_its_key_is_signed_out_then_the_list_tells(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("keys", "sessions") == 0
    assert capsys.readouterr().out == "No session is open.\n"
    db = open_engine(f"sqlite:///{home / 'surefoot.sqlite'}")
    key_id, text = access.create(db, name="laptop")
    sessions.begin(db, key_id, address="192.0.2.7", agent="Firefox")
    db.dispose()
    assert run("keys", "sessions", text[:8], "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["key_id"], row["key"], row["address"], row["agent"]) == (
        key_id,
        "laptop",
        "192.0.2.0/24",
        "Firefox",
    )
    assert run("keys", "sessions", "sf_nobod") == 2
    capsys.readouterr()
    assert run("keys", "sign-out", key_id) == 0
    assert capsys.readouterr().out == "1 session ended.\n"
    assert run("keys", "sessions", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.usefixtures("made_store")
@pytest.mark.parametrize("words", [("jobs", "list"), ("attention", "list"), ("sagas", "list")])
def test_given_an_empty_store_when_listed_then_a_sentence_and_as_json_an_empty_list(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 0
    assert capsys.readouterr().out.strip()
    assert run(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out) in ([], {"items": []})


@pytest.mark.usefixtures("made_store")
@pytest.mark.parametrize(
    "words",
    [
        ("show", "order-7K3F"),
        ("why", "01a20265-17d8-7579-bd1c-7f3f1c511d16"),
        ("cancel", "nonsense"),
    ],
)
def test_given_no_such_job_when_named_then_2_and_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("jobs", *words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.usefixtures("made_store")
def test_given_an_unknown_saga_when_submitted_then_2_and_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("submit", "oder", "{}") == 2
    assert "'oder'" in capsys.readouterr().err
