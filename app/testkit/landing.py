"""Until nothing moves any more: deliver what there is, and let time pass where only time helps."""

from __future__ import annotations

from collections.abc import Callable

MOST_MESSAGES = 2000  # more in one go are messages without end


def drain(deliver: Callable[[], object], *, most: int = MOST_MESSAGES) -> None:
    """Deliver until `deliver` answers None: no message is left.

    Raises: AssertionError for messages without end.
    """
    for _ in range(most):
        if deliver() is None:
            return
    raise AssertionError("messages without end")


def land(
    deliver_all: Callable[[], None], at_rest: Callable[[], bool], pass_time: Callable[[], bool]
) -> bool:
    """Deliver all messages and let time pass in turn, until all is at rest.

    `pass_time`: let some time pass, and let the relay sweep; it answers False when patience is at
    its end. Returns whether all came to rest.
    """
    while True:
        deliver_all()
        if at_rest():
            return True
        if not pass_time():
            return False
