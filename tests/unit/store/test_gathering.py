"""Who asks while another asks is answered by a later statement, with the others, and never waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from surefoot.app.errors import StoreUnavailable
from surefoot.app.store import coalescing
from surefoot.app.store.coalescing import Coalescer
from tests.support.running import ROOT
from tests.support.waiting import wait_until

SOON_S = 10.0


class Desk:
    """Answers `q` with `q.upper()`. The first statement is held until it is let go; what the failures say is raised in turn."""

    def __init__(
        self, patience_s: float = SOON_S, failures: Sequence[Exception | None] = ()
    ) -> None:
        self.asked: list[list[str]] = []
        self.failures = list(failures)
        self.let_go = threading.Event()
        self.gathering: Coalescer[str, str] = Coalescer(self.ask_all, patience_s)
        self.pool = ThreadPoolExecutor(20)

    def ask_all(self, questions: Sequence[str]) -> Sequence[str | None]:
        self.asked.append(list(questions))
        if len(self.asked) == 1:
            assert self.let_go.wait(SOON_S)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return [question.upper() if question != "none" else None for question in questions]

    def first(self) -> Future[str | None]:
        """Somebody whose statement is under way until it is let go."""
        found = self.pool.submit(self.gathering.ask, "first")
        wait_until(lambda: len(self.asked) == 1, SOON_S)
        return found

    def come(self, questions: Sequence[str]) -> list[Future[str | None]]:
        """Others, in a thread each; all of them stand in line by now, in this order."""
        found = []
        for place, question in enumerate(questions, 1):
            found.append(self.pool.submit(self.gathering.ask, question))
            wait_until(lambda place=place: len(self.gathering._line) == place, SOON_S)  # type: ignore[misc]
        return found


def test_given_nobody_asks_when_asked_then_at_once_and_alone() -> None:
    desk = Desk()
    desk.let_go.set()
    assert [desk.gathering.ask(question) for question in ("a", "none", "b")] == ["A", None, "B"]
    assert desk.asked == [["a"], ["none"], ["b"]]


def test_given_a_statement_under_way_when_others_come_then_one_later_statement_answers_each_of_them() -> (
    None
):
    desk = Desk()
    first, others = desk.first(), desk.come(["a", "b", "none", "a"])
    assert desk.asked == [["first"]], "nobody is answered by a statement that began before he came"
    desk.let_go.set()
    assert [one.result(SOON_S) for one in (first, *others)] == ["FIRST", "A", "B", None, "A"]
    assert desk.asked == [["first"], ["a", "b", "none", "a"]]
    assert desk.gathering.ask("later") == "LATER"


def test_given_more_in_line_than_one_statement_takes_then_the_rest_are_asked_for_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coalescing, "TOGETHER_MOST", 3)
    desk = Desk()
    desk.first()
    others = desk.come("abcde")
    desk.let_go.set()
    assert [one.result(SOON_S) for one in others] == list("ABCDE")
    assert desk.asked == [["first"], ["a", "b", "c"], ["d", "e"]]


def test_given_store_unavailable_when_one_asks_for_all_then_each_is_told_and_the_next_asks_anew() -> (
    None
):
    desk = Desk(failures=[None, StoreUnavailable("it is gone")])
    first, others = desk.first(), desk.come("abc")
    desk.let_go.set()
    assert first.result(SOON_S) == "FIRST"
    for one in others:
        with pytest.raises(StoreUnavailable, match="it is gone"):
            one.result(SOON_S)
    assert desk.gathering.ask("later") == "LATER"


def test_given_another_failure_when_one_asks_for_all_then_he_has_it_and_the_others_ask_for_themselves() -> (
    None
):
    desk = Desk(failures=[None, ValueError("of a")])
    desk.first()
    a, b, c = desk.come("abc")
    desk.let_go.set()
    with pytest.raises(ValueError, match="of a"):
        a.result(SOON_S)
    assert [b.result(SOON_S), c.result(SOON_S)] == ["B", "C"]
    assert sorted(desk.asked[2:]) == [["b"], ["c"]]


def test_given_a_statement_that_does_not_come_back_when_patience_ends_then_who_waits_asks_alone() -> (
    None
):
    desk = Desk(patience_s=0.05)
    first = desk.first()
    assert desk.gathering.ask("a") == "A"
    assert desk.gathering._line == []
    assert not first.done()
    desk.let_go.set()
    assert first.result(SOON_S) == "FIRST"
    assert desk.gathering.ask("later") == "LATER"
    assert desk.asked == [["first"], ["a"], ["later"]]


FORKS = """
import os, threading
from surefoot.app.store.coalescing import Coalescer
under_way, let_go = threading.Event(), threading.Event()
def ask_all(questions):
    if questions == ["parent"]:
        under_way.set(); let_go.wait(20)
    return questions
gathering = Coalescer(ask_all, 20)
threading.Thread(target=gathering.ask, args=["parent"]).start()
under_way.wait(20)
if os.fork() == 0:
    os._exit(0 if gathering.ask("child") == "child" else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
let_go.set()
"""


def test_given_a_fork_while_one_asks_when_the_child_asks_then_it_waits_for_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert done.stdout.strip() == "0", done.stderr
