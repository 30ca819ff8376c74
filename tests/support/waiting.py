"""Wait for a condition, with a deadline: the only way a test lets time pass. And what is late on a machine that others use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
WORK_S = 0.05
MOST = 5.0  # a deadline is put off at most this many times


def wait_until(
    condition: Callable[[], T], timeout_s: float = 20.0, every_s: float = 0.05, what: str = ""
) -> T:
    """Ask until the answer is true, and give that answer.

    Raises: AssertionError after `timeout_s`, or later where others use the machine, with `what` was waited for and the
        last answer.
    """
    deadline, put_off = time.monotonic() + timeout_s, False
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline and not put_off:
            deadline, put_off = deadline + timeout_s * (min(MOST, slowness()) - 1), True
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"waited {timeout_s:g} s for {what or condition}; last answer: {answer!r}"
            )
        time.sleep(every_s)


def in_time(took_s: float, bound_s: float) -> bool:
    """Whether something took less than `bound_s`, or than that times how much slower everything is at the moment."""
    return took_s < bound_s or took_s < bound_s * slowness()


def slowness() -> float:
    """How many times longer work takes now than its processor time: 1.0 on a machine that nobody else uses."""
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < WORK_S:
        pass
    return max(1.0, (time.monotonic() - began) / (time.thread_time() - used))
