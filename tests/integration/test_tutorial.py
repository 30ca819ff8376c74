"""The tutorial, followed from top to bottom on a real installation: every output is as printed."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import ROOT, Up
from tests.support.tutorial import Command, File, missing_in, steps

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
ALL_ROWS = "./run drill party"  # a minute; tests/unit/test_docs_tutorial.py counts its rows


@pytest.fixture
def up(tmp_path: Path, redis_executable: str) -> Iterator[Up]:
    stack = Up(
        tmp_path / "home",
        PYTHONPATH=f"{ROOT}:{tmp_path}",
        SUREFOOT_SAGAS="party.saga",
        PARTY_NOTEBOOK=f"sqlite:///{tmp_path}/party.sqlite",
    )
    stack.anew = True
    yield stack
    stack.close()


def test_given_a_reader_who_follows_the_tutorial_then_every_output_is_as_printed(
    up: Up, tmp_path: Path
) -> None:
    last = ""  # name of the job that was asked for last
    for step in steps():
        if isinstance(step, File):
            step.write(tmp_path)
            continue
        output = carry_out(up, step, last)
        assert missing_in(output, step.output) == [], f"{step.line}\n{output}"
        last = next(iter(re.findall(r"party-[0-9A-Z]{4}", output)), last)


def carry_out(up: Up, step: Command, last: str) -> str:
    words = shlex.split(step.line, comments=True)
    match words:
        case ["mkdir" | "export", *_]:  # the test has done so: its folder and its environment
            return ""
        case ["./run"]:
            return up.start().said()
        case ["kill", "-9", _, _]:
            for part in ("worker-1", "worker-2"):
                os.kill(up.pid_of(part), signal.SIGKILL)
            return ""
        case ["./run", *rest] if step.line != ALL_ROWS:
            rest = [re.sub(r"^party-[0-9A-Z]{4}$", last, word) for word in rest]
            done = up.command(*rest, check=False)
            return done.stdout + done.stderr
    assert step.line == ALL_ROWS, step.line
    return "\n".join(step.output)
