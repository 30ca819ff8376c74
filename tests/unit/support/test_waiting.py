"""A deadline is of the machine that the tests run on, and of nobody else's work on it."""

from __future__ import annotations

import pytest

from tests.support import waiting


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "slowness", lambda: 3.0)


@pytest.mark.usefixtures("slow")
def test_given_a_slow_machine_when_judged_then_a_bound_is_so_much_longer() -> None:
    assert waiting.in_time(2.9, 1.0)
    assert not waiting.in_time(3.1, 1.0)


def test_given_a_machine_of_our_own_when_judged_then_the_bound_is_as_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "slowness", lambda: 1.0)
    assert waiting.in_time(0.9, 1.0)
    assert not waiting.in_time(1.1, 1.0)


@pytest.mark.usefixtures("slow")
def test_given_a_slow_machine_when_waited_for_then_the_deadline_is_put_off_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: clock[0])

    def passes(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(waiting.time, "sleep", passes)
    waiting.wait_until(lambda: clock[0] >= 25, 10.0, 1.0)
    with pytest.raises(AssertionError, match="waited 10 s for a bus; last answer: False"):
        waiting.wait_until(lambda: False, 10.0, 1.0, "a bus")
    assert clock[0] == 25 + 30


def test_given_this_machine_when_asked_then_it_is_not_faster_than_its_processor() -> None:
    assert waiting.slowness() >= 1.0
