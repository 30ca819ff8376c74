"""Wait for a condition, with a deadline: the only way a test lets time pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], timeout_s: float = 20.0, every_s: float = 0.05, what: str = ""
) -> T:
    """Ask until the answer is true, and give that answer.

    Raises: AssertionError after `timeout_s`, with `what` was waited for and the last answer.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"waited {timeout_s:g} s for {what or condition}; last answer: {answer!r}"
            )
        time.sleep(every_s)
