"""The door for contributors, `./run`: what it calls for which words. The tools in its environment are stand-ins that say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import which

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parents[2]
TOOLS = ("ruff", "mypy", "lint-imports", "pytest", "surefoot")
STAND_IN = '#!/bin/sh\necho "$(basename "$0") $*"\n'


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """A clone whose environment is there already, so that nothing is installed."""
    for name in ("run", "constraints.txt", "setup.cfg", "pyproject.toml"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "tests/unit/rules").mkdir(parents=True)
    (tmp_path / "tests/unit/rules/test_pacing.py").touch()
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name in TOOLS:
        (tools / name).write_text(STAND_IN)
        (tools / name).chmod(0o755)
    (tools / "python").symlink_to(sys.executable)
    sums = subprocess.run(
        "{ pwd; cat constraints.txt setup.cfg pyproject.toml; } | cksum",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for extras in ("embedded", "embedded,test"):
        (tmp_path / f".venv/installed-{extras}").write_text(sums)
    return tmp_path


def called(door: Path, *words: str) -> list[str]:
    """What `./run WORDS` ran, in order, without its own headings."""
    done = subprocess.run(
        ["./run", *words], cwd=door, capture_output=True, text=True, check=True, timeout=60
    )
    return [line for line in done.stdout.splitlines() if not line.startswith("== ")]


CHECKS = ["ruff check .", "ruff format --check --quiet .", "mypy ", "lint-imports --no-cache"]


def test_given_check_then_lint_format_types_and_contracts_and_no_test(door: Path) -> None:
    assert called(door, "check") == CHECKS


@pytest.mark.parametrize("words", [[], ["--all"], ["--all", "-x"], ["-k", "cancel"]])
def test_given_no_path_when_tested_then_the_checks_come_first(door: Path, words: list[str]) -> None:
    processes = min(16, 2 * (os.cpu_count() or 1) + 1)
    pytest_words = " ".join(["pytest -n", str(processes), *words])
    assert called(door, "test", *words) == [*CHECKS, pytest_words]


@pytest.mark.parametrize("test", ["", "::test_given_a_rate"])
def test_given_a_file_when_tested_then_pytest_alone_in_one_process(door: Path, test: str) -> None:
    word = f"tests/unit/rules/test_pacing.py{test}"
    assert called(door, "test", "-x", word) == [f"pytest -n 0 -x {word}"]


def test_given_a_folder_when_tested_then_pytest_alone_in_several_processes(door: Path) -> None:
    processes = min(16, (os.cpu_count() or 1) + 1)
    assert called(door, "test", "tests/unit") == [f"pytest -n {processes} tests/unit"]


def test_given_fast_then_only_unit_and_contract_and_no_checks(door: Path) -> None:
    (line,) = called(door, "test", "--fast")
    assert line.startswith("pytest -n ")
    assert line.endswith(" tests/unit tests/contract --fast")


def test_given_other_words_then_they_are_the_command_s(door: Path) -> None:
    assert called(door, "jobs", "list") == ["surefoot jobs list"]
    assert called(door) == ["surefoot up"]


def test_given_help_then_every_word_of_the_door_is_told(door: Path) -> None:
    told = "\n".join(called(door, "help"))
    for words in ("./run test --all", "./run test --fast", "./run check", "./run which FILE"):
        assert words in told


# --- which -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("app/rules/pacing.py", "tests/unit/rules/test_pacing.py"),  # the same name
        ("surefoot/app/rules/pacing.py", "tests/unit/rules/test_pacing.py"),  # through a link
        (
            "app/store/job_writes.py",
            "tests/contract/engine/test_out_of_turn.py",
        ),  # imported by the test
        ("web/publishing.py", "tests/unit/web/test_bell.py"),
        ("tests/unit/rules/test_planner.py", "tests/unit/rules/test_planner.py"),  # itself
        ("tests/contract/engine/conftest.py", "tests/contract/engine/test_locks.py"),
        ("tests/support/which.py", "tests/unit/test_run.py"),
        ("docs/faults.md", "tests/unit/test_faults_page.py"),  # named by the test
    ],
)
def test_given_a_changed_file_then_its_tests_are_listed(
    file: str, test: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    assert which.main([file]) == 0
    assert test in capsys.readouterr().out.splitlines()


def test_given_a_changed_file_when_all_is_asked_then_what_reaches_it_through_others_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    which.main(["app/rules/pacing.py"])
    near = capsys.readouterr()
    which.main(["app/rules/pacing.py", "--all"])
    everything = capsys.readouterr().out.splitlines()
    further = int(near.err.split()[1])
    assert further > 0
    assert len(everything) == len(near.out.splitlines()) + further


def test_given_a_file_that_is_not_there_then_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert which.main(["app/nothing.py"]) == 2
    assert "./run which FILE" in capsys.readouterr().err
