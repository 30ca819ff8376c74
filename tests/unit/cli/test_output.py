"""What a command prints is all there, however its process is treated meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
import rich_click as click

from surefoot.app.cli import group
from tests.support.running import ROOT
from tests.support.waiting import wait_until

WORDS, LINES = "a line of a long list", 20_000  # more than any pipe holds


def lengthy() -> None:
    """The command that is run here: it prints that many lines at once."""

    @click.group()
    def words() -> None: ...

    @words.command()
    def print_much() -> None:
        click.echo("\n".join([WORDS] * LINES))

    sys.argv = ["surefoot", "print-much"]
    group.run(words)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_given_a_reader_that_waits_when_the_process_is_stopped_and_goes_on_then_it_reads_all(
    unbuffered: str,
) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", f"from {__name__} import lengthy; lengthy()"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == WORDS[0]  # from here on it fills the pipe, and waits
        child = psutil.Process(process.pid)
        wait_until(
            lambda: child.status() == psutil.STATUS_SLEEPING, what="it to wait for its reader"
        )
        child.suspend()
        wait_until(lambda: child.status() == psutil.STATUS_STOPPED, what="it to stand still")
        child.resume()
        assert len((WORDS[0] + process.stdout.read()).splitlines()) == LINES
        assert process.wait() == 0
