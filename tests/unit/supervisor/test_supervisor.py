"""How parts live, with fake parts in real processes: back-off, order of the end, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from surefoot.app.supervisor import child as child_module
from surefoot.app.supervisor.child import Child
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.supervisor import CannotStart, Supervisor
from surefoot.app.supervisor.watchdog import Watchdog
from tests.support import fake_stack
from tests.support.files import lines_of
from tests.support.processes import lives
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


class Stack:
    """A running fake stack and what was written down of it."""

    def __init__(self, folder: Path, specs: tuple[str, ...]) -> None:
        self.folder = folder
        words = [sys.executable, fake_stack.__file__, str(folder), *specs]
        self.out = (folder / "out").open("wb")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            words, stdout=self.out, stderr=self.out, env=env, start_new_session=True
        )
        wait_until(lambda: len(self.pids()) >= len(specs), what="the parts to start")

    def said(self) -> list[str]:
        return lines_of(self.folder / "out")

    def events(self) -> list[list[str]]:
        return [line.split() for line in lines_of(self.folder / "events")]

    def pids(self) -> dict[str, int]:
        """name -> its newest pid."""
        return {event[0]: int(event[2]) for event in self.events() if event[1] == "start"}

    def names(self, event: str) -> list[str]:
        return [found[0] for found in self.events() if found[1] == event]


@pytest.fixture
def stack_of(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(*specs: str) -> Stack:
        made.append(Stack(tmp_path, specs))
        return made[-1]

    yield make
    for stack in made:
        if stack.process.poll() is None:
            stack.process.kill()
        stack.process.wait()
        stack.out.close()
        wait_until(
            lambda stack=stack: not any(lives(pid) for pid in stack.pids().values()),
            what="all parts to end",
        )


def test_given_parts_of_three_ranks_when_asked_to_stop_then_each_rank_ends_before_the_next_is_asked(
    stack_of: Callable[..., Stack],
) -> None:
    stack = stack_of(
        "broker:5:obedient",
        "web:0:slow",
        "relay:3:slow",
        "worker-1:2:obedient",
        "worker-2:2:obedient",
    )
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(60) == 0
    order = [(event[0], event[1]) for event in stack.events() if event[1] in ("stop", "end")]
    assert order[:2] == [("web", "stop"), ("web", "end")]
    assert {name for name, _ in order[2:4]} == {"worker-1", "worker-2"}
    assert order[4:] == [("relay", "stop"), ("relay", "end"), ("broker", "stop")]
    assert stack.said()[-1] == "stopped"
    assert not any(lives(pid) for pid in stack.pids().values())


def test_given_a_part_that_will_not_end_when_its_budget_is_over_then_its_whole_group_is_killed(
    stack_of: Callable[..., Stack],
) -> None:
    stack = stack_of("deaf:0:deaf:0.5", "family:1:family:5")
    wait_until(lambda: "family-child" in stack.pids(), what="the grandchild")
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(60) == 0
    assert any("deaf did not stop in 0.5 s" in line for line in stack.said())
    wait_until(
        lambda: not any(lives(pid) for pid in stack.pids().values()),
        30,
        what="everything to end, grandchildren too",
    )


def test_given_a_slow_stop_when_asked_again_then_everything_ends_at_once(
    stack_of: Callable[..., Stack],
) -> None:
    stack = stack_of("deaf:0:deaf:120", "other:1:obedient")
    stack.process.send_signal(signal.SIGINT)
    wait_until(lambda: "deaf" in stack.names("stop"), what="the first request")
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(60) == 0
    assert not any(lives(pid) for pid in stack.pids().values())


def test_given_a_part_that_was_killed_when_its_pause_is_over_then_it_runs_again_and_that_is_said(
    stack_of: Callable[..., Stack],
) -> None:
    stack = stack_of("worker:0:obedient", "web:1:obedient")
    before = stack.pids()
    os.kill(before["worker"], signal.SIGKILL)
    wait_until(lambda: stack.pids()["worker"] != before["worker"], what="a new worker")
    wait_until(lambda: any("worker is back" in line for line in stack.said()), what="the news")
    assert any("worker was ended by SIGKILL" in line for line in stack.said())
    assert stack.pids()["web"] == before["web"]


def test_given_kill_9_of_the_supervisor_when_nobody_tidies_up_then_no_process_is_left(
    stack_of: Callable[..., Stack],
) -> None:
    stack = stack_of("broker:5:obedient", "deaf:0:deaf", "family:1:family")
    wait_until(lambda: "family-child" in stack.pids(), what="the grandchild")
    stack.process.kill()
    wait_until(
        lambda: not any(lives(pid) for pid in stack.pids().values()),
        30,
        what="everything to end, grandchildren too",
    )


def test_given_a_part_that_ends_at_once_when_started_again_and_again_then_each_pause_is_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        child_module, "time", SimpleNamespace(monotonic=lambda: 0.0)
    )  # no time passes but what is said
    watchdog = Watchdog()
    child = Child(
        Part("broken", (sys.executable, "-c", "raise SystemExit(3)"), 0),
        tmp_path / "log",
        os.environ,
        watchdog,
    )
    pauses = []
    for _ in range(3):
        child.start()
        assert wait_until(child.ended, what="its end") == 3
        pauses.append(child.pause_s())
        assert not child.is_due()
    watchdog.close()
    assert pauses == [0.5, 1.0, 2.0]


def test_given_a_part_that_cannot_start_when_waited_for_then_the_words_of_its_last_start_are_told_and_no_others(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log" / "web.log"
    log.parent.mkdir()
    log.write_text("what it said yesterday\n")
    kept = [
        (number, signal.getsignal(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ]
    said: list[str] = []
    supervisor = Supervisor(tmp_path, os.environ, said.append)
    try:
        child = supervisor.start(
            Part(
                "web",
                (sys.executable, "-c", "raise SystemExit('no such setting')"),
                0,
                ready=lambda pid: False,
            )
        )
        with pytest.raises(CannotStart) as told:
            supervisor.until_ready(child)
        assert child.starts > 1
        assert str(told.value).splitlines()[1:] == ["no such setting"]
    finally:
        supervisor.stop()
        for number, handler in kept:
            signal.signal(number, handler)
    assert said[0].startswith("web ended with code 1; it starts again in 0.")


def test_given_a_command_that_does_not_exist_when_started_then_its_log_says_so(
    tmp_path: Path,
) -> None:
    watchdog = Watchdog()
    child = Child(Part("ghost", ("/no/such/program",), 0), tmp_path / "log", os.environ, watchdog)
    child.start()
    assert wait_until(child.ended, what="its end") == 127
    watchdog.close()
    assert child.last_words() == "/no/such/program: No such file or directory"
