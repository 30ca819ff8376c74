"""A process that is forked from the warm server is what a fresh one would have been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import warm
from tests.support.processes import lives
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
MIRROR = """
import json, os, random, signal, sys, threading

def main():
    umask = os.umask(0)
    print("to stderr", file=sys.stderr)
    print(json.dumps({
        "name": __name__,
        "argv": sys.argv,
        "path": sys.path,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "files": sorted(os.listdir("/proc/self/fd")),
        "input": sys.stdin.read(),
        "streams": [[type(s.buffer).__name__, s.line_buffering, s.write_through, s.errors]
                    for s in (sys.stdin, sys.stdout, sys.stderr)],
        "signals": {n.name: str(signal.getsignal(n)) for n in signal.Signals},
        "words": open("/proc/self/cmdline").read().strip(chr(0)).split(chr(0)),
        "session": os.getsid(0) == os.getpid(),
        "threads": threading.active_count(),
        "chance": random.random(),
    }))
    sys.exit(7)

main()
"""
WAITS = "import signal, sys; print('here', flush=True); signal.pause()"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "mirror.py").write_text(MIRROR)
    (tmp_path / "waits.py").write_text(WAITS)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(tmp_path), "ONLY_HERE": "1"}


def seen(tmp_path: Path, env: dict[str, str], *, session: bool) -> list[dict[str, Any]]:
    """What the mirror sees: of a fresh process, and of a forked one."""
    words = ["mirror", "one", "--two"]
    fresh, forked = tmp_path / "fresh", tmp_path / "forked"
    errors = tmp_path / "errors"
    with fresh.open("wb") as said, errors.open("wb") as bad:
        code = subprocess.run(
            [sys.executable, "-m", *words],
            env=env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=bad,
            start_new_session=session,
            check=False,
        ).returncode
    assert (code, errors.read_text()) == (7, "to stderr\n")
    with forked.open("wb") as said, errors.open("wb") as bad:
        process = warm.start(words, env=env, cwd=tmp_path, said=said, errors=bad, session=session)
        assert process.wait(60) == 7
    assert errors.read_text() == "to stderr\n"
    return [json.loads(file.read_text()) for file in (fresh, forked)]


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("session", [True, False])
def test_given_the_same_words_when_forked_then_it_sees_what_a_fresh_process_sees(
    unbuffered: dict[str, str], session: bool, tmp_path: Path, env: dict[str, str]
) -> None:
    fresh, forked = seen(tmp_path, env | unbuffered, session=session)
    assert fresh.pop("chance") != forked.pop("chance")
    assert forked == fresh


def test_given_code_that_python_runs_at_its_start_then_it_is_started_anew_and_runs_it(
    tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('at the start')")
    (tmp_path / "nothing.py").touch()
    assert warm.run(["nothing"], env=env, timeout_s=60).stdout == "at the start\n"


def test_given_two_of_them_then_their_chances_differ_and_one_outlives_the_other(
    tmp_path: Path, env: dict[str, str]
) -> None:
    started = []
    for name in ("a", "b"):
        with (tmp_path / name).open("wb") as said:
            started.append(warm.start(["waits"], env=env, said=said))
        wait_until((tmp_path / name).read_text, what="its first word")
    first, second = started
    assert (first.poll(), second.poll()) == (None, None)
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    assert second.poll() is None
    second.terminate()
    assert second.wait(60) == -signal.SIGTERM


def test_given_one_that_does_not_end_when_waited_for_in_vain_then_that_is_said(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["waits"], env=env, timeout_s=0.2)
    with (tmp_path / "said").open("wb") as said:
        process = warm.start(["waits"], env=env, said=said)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL


def test_given_a_leash_when_the_tests_end_however_they_do_then_it_ends(
    tmp_path: Path, env: dict[str, str]
) -> None:
    tests = f"""
import os, pathlib, time
from tests.support import warm
with open({str(tmp_path / "said")!r}, "wb") as said:
    process = warm.start(["waits"], env={env!r}, said=said, leash=15)
while not pathlib.Path({str(tmp_path / "said")!r}).read_text():
    time.sleep(0.02)
print(process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", tests], cwd=warm.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    wait_until(lambda: not lives(pid), 30, what="the end of what was started")


@pytest.mark.parametrize(
    ("words", "more"),
    [(["mirror"], {"PYTHONDEVMODE": "1"}), (["celery", "worker"], {})],
)
def test_given_what_python_or_celery_reads_at_its_start_when_it_differs_then_it_is_started_anew(
    words: list[str], more: dict[str, str], tmp_path: Path, env: dict[str, str]
) -> None:
    with (tmp_path / "said").open("wb") as said:
        process = warm.start(words, env=env | more, said=said, cwd=tmp_path)
    assert isinstance(process, subprocess.Popen)
    assert psutil.Process(process.pid).ppid() == os.getpid()
    process.kill()
    process.wait()
