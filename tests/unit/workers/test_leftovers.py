"""What a step leaves behind in its process is noticed, put back or ended, and retires the child. Each in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from surefoot import Failed, Rejected
from surefoot.app.config import settings
from surefoot.workers import leftovers
from surefoot.workers.children import end_what_it_started
from surefoot.workers.time_limits import limit
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def in_child(step: Callable[[], Any], *, attempts: int = 1) -> dict[str, Any]:
    """Fork, begin as a pool's child does, run the step under its limit, and tell how the process is afterwards."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        told: dict[str, Any] = {}
        try:
            os.close(read)
            leftovers.begin()
            with limit(30):
                pass  # an attempt that does nothing: how the child began
            for _ in range(attempts):
                try:
                    with limit(30):
                        told["step"] = step()
                except BaseException as error:
                    told["error"] = type(error).__name__
            told |= {
                "retired": leftovers.here.retired,
                "folder": leftovers._folder(),
                "umask": leftovers._umask(),
            }
            told |= {
                "term": repr(signal.getsignal(signal.SIGTERM)),
                "children": len(psutil.Process().children()),
            }
            os.write(write, json.dumps(told, default=str).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    told = json.loads(said)
    assert isinstance(told, dict)
    return told


def test_given_a_step_that_leaves_all_as_it_was_when_ended_then_its_child_goes_on() -> None:
    def careful() -> None:
        with Path(os.devnull).open() as _:
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)

    told = in_child(careful, attempts=2)
    assert told["retired"] == ""


def test_given_a_run_of_failures_in_one_child_when_nothing_else_is_known_then_it_is_retired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_CHILD_FAILURES", "3")
    settings.cache_clear()

    def after(*errors: BaseException | None) -> str:
        left = iter(errors)

        def step() -> None:
            error = next(left)
            if error is not None:
                raise error

        return str(in_child(step, attempts=len(errors))["retired"])

    broken = ConnectionError("the library is in a state of its own")
    assert after(broken, ValueError(), broken) == "3 attempts in a row failed"
    assert after(broken, broken, None, broken, broken) == ""
    assert after(broken, broken, Rejected("no"), broken, broken) == ""
    assert after(*[Rejected("no")] * 5, Failed("gone")) == ""


def test_given_steps_that_leave_threads_behind_when_there_are_many_then_the_child_is_retired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_LEAKED_THREADS", "3")
    settings.cache_clear()
    for_ever = threading.Event()

    def start_one() -> None:
        threading.Thread(target=for_ever.wait, daemon=True).start()

    assert (
        in_child(start_one, attempts=3)["retired"] == ""
    )  # a library's own thread or two are no harm
    assert in_child(start_one, attempts=4)["retired"] == "4 threads are left"


def move_away() -> None:
    os.chdir("/")


def into_nothing() -> None:
    folder = Path(f"/tmp/gone-{os.getpid()}")
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


def closed_stdout() -> None:
    os.close(1)


def own_zone() -> None:
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()


LEFT: list[tuple[Callable[[], Any], str]] = [
    (move_away, "the working directory is another"),
    (into_nothing, "the working directory is another"),
    (lambda: os.umask(0o777), "the umask is another"),
    (lambda: signal.signal(signal.SIGTERM, lambda *_: None), "SIGTERM is handled by another"),
    (lambda: setattr(sys, "stderr", None), "the standard streams are others"),
    (closed_stdout, "the standard streams are others"),
    (own_zone, "time zone or locale are others"),
    (lambda: [os.dup(2) for _ in range(300)] and None, "more than 200 descriptors are left open"),
    (lambda: subprocess.Popen(SLEEP) and None, "1 processes were left"),
]


@pytest.mark.parametrize("number", range(len(LEFT)), ids=[why[:30] for _, why in LEFT])
def test_given_a_step_that_changed_its_process_when_ended_then_put_back_and_the_child_is_retired(
    number: int,
) -> None:
    step, why = LEFT[number]
    told = in_child(step)
    assert why in told["retired"]
    assert (told["folder"], told["umask"], told["children"]) == (os.getcwd(), leftovers._umask(), 0)
    assert told["term"] == repr(signal.getsignal(signal.SIGTERM))


def test_given_a_step_that_uses_up_all_descriptors_when_ended_then_some_are_left_to_record_it() -> (
    None
):
    def leak() -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, soft))
        while True:
            os.dup(2)

    def leak_and_open() -> str:
        try:
            leak()
        except OSError as error:
            raise RuntimeError("wrapped") from error
        return ""

    told = in_child(leak_and_open)  # its pipe and psutil need descriptors too
    assert told["error"] == "RuntimeError"
    assert told["retired"].startswith("out of files, no descriptor is left")


def test_given_daemons_of_a_step_when_ended_then_they_end_too() -> None:
    def daemon() -> int:
        code = f"import subprocess; print(subprocess.Popen({SLEEP!r}, start_new_session=True, stdout=subprocess.DEVNULL).pid)"
        return int(subprocess.check_output([sys.executable, "-c", code]))

    told = in_child(daemon)
    assert "1 processes were left" in told["retired"]
    assert not psutil.pid_exists(told["step"])


def test_given_a_step_that_forks_and_forgets_when_both_come_back_then_one_of_them_ends_unheard() -> (
    None
):
    told = in_child(lambda: os.fork() and None)
    assert told["children"] == 0  # the copy wrote nothing into the pipe: what came was one JSON


def test_given_threads_that_stay_when_ended_then_told_once_and_the_child_goes_on() -> None:
    def stay() -> None:
        threading.Thread(target=time.sleep, args=(60,), daemon=True, name="stays").start()

    assert in_child(stay)["retired"] == ""


def test_given_a_child_that_is_gone_when_its_leftovers_are_looked_for_then_what_it_started_ends() -> (
    None
):
    left = subprocess.Popen(SLEEP, env={**os.environ, leftovers.CHILD_MARK: "4000001"})
    other = subprocess.Popen(SLEEP, env={**os.environ, leftovers.CHILD_MARK: "4000002"})
    try:
        wait_until(
            lambda: psutil.Process(left.pid).environ().get(leftovers.CHILD_MARK) == "4000001",
            what="it to start",
        )
        assert len(end_what_it_started(4000001)) == 1
        assert left.wait(30) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait(30)


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        (OSError(24, "x"), "files"),
        (OSError(12, "x"), "memory"),
        (MemoryError(), "memory"),
        (OSError(2, "x"), None),
        (RuntimeError(), None),
        (None, None),
    ],
)
def test_given_an_error_when_asked_then_what_the_process_is_out_of(
    error: BaseException | None, lack: str | None
) -> None:
    assert leftovers.out_of(error) == lack


def test_given_a_process_that_is_no_pools_child_when_an_attempt_ends_then_nothing_is_touched() -> (
    None
):
    before = os.getcwd()
    try:
        with limit(30):
            os.chdir("/")
        assert (os.getcwd(), leftovers.fit()) == ("/", True)
    finally:
        os.chdir(before)
