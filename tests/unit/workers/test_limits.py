from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from surefoot.app.engine.worker.handle import unrung
from surefoot.workers.time_limits import StepBroke, StepTimeout, limit
from tests.support.waiting import wait_until


def endless() -> None:
    wait_until(lambda: False, 30)


def test_given_function_past_its_limit_when_run_then_it_is_interrupted() -> None:
    with pytest.raises(StepTimeout, match=r"timeout of 0.05 s") as caught, limit(0.05):
        endless()
    assert not isinstance(caught.value, Exception), "a step's `except Exception` must not take it"


@pytest.fixture(autouse=True)
def _no_timer_of_the_test_runner() -> Iterator[None]:
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)


def test_given_function_that_ends_in_time_when_run_then_timer_and_handler_are_as_before() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with limit(30):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 30
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_given_timer_around_it_when_run_then_that_one_goes_on() -> None:
    signal.setitimer(signal.ITIMER_REAL, 50)
    with limit(30):
        assert signal.getitimer(signal.ITIMER_REAL)[0] <= 30
    assert 31 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_given_error_of_the_step_when_run_then_it_passes_and_the_timer_is_off() -> None:
    with pytest.raises(KeyError), limit(30):
        raise KeyError("theirs")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    "error", [MemoryError(), MemoryError("numpy"), SystemExit(3), SystemExit("bye")]
)
def test_given_what_would_end_the_worker_when_raised_then_it_is_an_ordinary_error(
    error: BaseException,
) -> None:
    with pytest.raises(StepBroke), limit(30):
        raise error


def test_given_no_limit_when_run_then_no_timer() -> None:
    with limit(0):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_given_thread_when_run_then_no_signal_is_used() -> None:
    ran: list[bool] = []

    def body() -> None:
        with limit(0.01):
            ran.append(True)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert ran == [True]


def test_given_a_step_that_swallows_its_limit_when_it_returns_then_it_has_timed_out() -> None:
    with pytest.raises(StepTimeout), limit(0.05):
        try:
            endless()
        except BaseException:
            pass


@pytest.mark.parametrize("instead", [ConnectionError("broken"), ValueError("mine")])
def test_given_a_limit_that_was_relabelled_when_raised_then_it_is_told_as_the_limit(
    instead: Exception,
) -> None:
    with pytest.raises(StepTimeout) as caught, limit(0.05):
        try:
            endless()
        except BaseException:
            raise instead from None
    assert caught.value.__cause__ is instead


@pytest.mark.parametrize("threads", [0, 1])
def test_given_a_statement_of_ours_when_the_limit_rings_then_it_is_raised_behind_the_statement(
    threads: int,
) -> None:
    ended, over = [], threading.Event()
    beside = [threading.Thread(target=over.wait) for _ in range(threads)]
    for thread in beside:  # it might take the signal in the place of this one
        thread.start()
    with pytest.raises(StepTimeout), limit(1):
        with unrung():
            until = time.monotonic() + 1.5  # the limit rings meanwhile
            wait_until(lambda: time.monotonic() > until, 30)
            ended.append(True)
        ended.append(False)
    over.set()
    assert ended == [True]
