from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from surefoot.workers.children import kill_child
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_given_child_of_ours_when_killed_then_it_is_gone() -> None:
    child = subprocess.Popen(SLEEP)
    assert kill_child(child.pid)
    assert child.wait(60) == -signal.SIGKILL


def test_given_a_child_whose_step_detached_a_process_without_a_trace_when_killed_then_both_are_gone() -> (
    None
):
    daemon = f"import subprocess; print(subprocess.Popen({SLEEP!r}, env={{}}, start_new_session=True, stdout=subprocess.DEVNULL).pid)"
    code = (
        "import subprocess, sys, time; from surefoot.workers import leftovers; leftovers.begin();"
        f" print(subprocess.check_output([sys.executable, '-c', {daemon!r}]).decode(), flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    detached = int(child.stdout.readline())
    wait_until(lambda: psutil.Process(detached).ppid() == child.pid, what="the child to inherit it")
    assert kill_child(child.pid)
    assert child.wait(60) == -signal.SIGKILL
    wait_until(
        lambda: not psutil.pid_exists(detached) or psutil.Process(detached).status() == "zombie",
        what="it to end",
    )
    child.stdout.close()


def test_given_child_that_has_ended_when_killed_then_nothing_is_sent() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, what="it to end")
    assert not kill_child(child.pid)
    child.wait(60)
    assert not kill_child(child.pid)


def test_given_process_that_is_not_our_child_when_killed_then_it_lives() -> None:
    code = f"import subprocess; p = subprocess.Popen({SLEEP!r}); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        assert not kill_child(grandchild)
        assert not kill_child(os.getppid())
        assert not kill_child(os.getpid())
        assert not kill_child(1)
        assert not kill_child(0)
        assert psutil.pid_exists(grandchild)
        os.kill(grandchild, signal.SIGKILL)
    finally:
        parent.kill()
        parent.communicate()
