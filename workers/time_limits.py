"""The soft limit of one operation, and what a step may not do to its worker.

Celery's soft limit is per message and set in the main process; this one is per operation and set in
the child around the developer's function, by a timer signal. It exists where signals do: in the
main thread of a prefork child. Under threads a step has to call `ctx.check()`. A step that swallows
the exception and goes on is killed by the keeper at its hard limit; one that swallows it and ends
all the same, however it ends, has timed out.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from surefoot.workers import leftovers


class StepTimeout(BaseException):
    """The operation took longer than its timeout.

    No Exception: what a step's `except Exception` swallows would not end it.
    """

    times_out = True

    def __init__(self, timeout_s: float = 0.0) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"took longer than its timeout of {self.timeout_s:g} s"


class StepBroke(Exception):
    """A step raised what would have ended its worker."""


@contextmanager
def limit(timeout_s: float) -> Iterator[None]:
    """Run the developer's function for at most `timeout_s`; whatever ends it is an ordinary
    exception.

    Raises: StepTimeout; StepBroke for MemoryError (Celery's main process would exit, and the
    message would kill the next worker too), for SystemExit (the child would die and the attempt be
    of unknown outcome) and for KeyboardInterrupt.
    """
    leftovers.before()
    try:
        with _left_behind(), _alarm(timeout_s):
            yield
    except MemoryError as error:
        raise StepBroke(
            f"ran out of memory: {error}" if str(error) else "ran out of memory"
        ) from None
    except SystemExit as error:
        raise StepBroke(f"called sys.exit({error.code!r})") from None
    except KeyboardInterrupt:
        raise StepBroke("raised KeyboardInterrupt") from None


@contextmanager
def _left_behind() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        leftovers.after(error)
        raise
    leftovers.after()


@contextmanager
def _alarm(timeout_s: float) -> Iterator[None]:
    if timeout_s <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return
    armed, rang = True, False

    def publish_plan(_signum: int, _frame: FrameType | None) -> None:
        nonlocal rang
        if armed:  # a signal that was already on its way must not hit what runs after the step
            rang = True
            raise StepTimeout(timeout_s)

    handler_before = signal.signal(signal.SIGALRM, publish_plan)
    began = time.monotonic()
    left_before_s, interval_s = signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
        if rang:  # swallowed
            raise StepTimeout(timeout_s)
    except Exception as error:
        if rang:  # re-labelled by whatever it interrupted, a driver or the step itself
            raise StepTimeout(timeout_s) from error
        raise
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(
            signal.SIGALRM, handler_before if handler_before is not None else signal.SIG_DFL
        )
        if left_before_s:  # somebody around us has a timer (a test's time-out): it goes on
            signal.setitimer(
                signal.ITIMER_REAL,
                max(left_before_s - (time.monotonic() - began), 0.001),
                interval_s,
            )
