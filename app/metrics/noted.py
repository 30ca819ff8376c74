"""What a transaction does is counted, and logged, when it has committed.

A transaction may be rolled back and repeated as a whole. So what happens inside is noted aside, in
its own thread, and the caller of the transaction says how it ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from surefoot.app.metrics.files import started
from surefoot.app.metrics.kinds import Counter, Histogram


class _Notes(threading.local):
    def __init__(self) -> None:
        self.rows: list[Callable[[], None]] = []


_notes = _Notes()


def record(counter: Counter, **labels: str) -> None:
    """Count one of these if the transaction of this thread commits."""
    if started():
        afterwards(partial(counter.count, labels))


def record_seconds(histogram: Histogram, seconds: float, **labels: str) -> None:
    """The same of a duration."""
    if started():
        afterwards(partial(histogram.observe, seconds, **labels))


def afterwards(do: Callable[[], None]) -> None:
    """Call this if the transaction of this thread commits. It is quick, and raises nothing."""
    _notes.rows.append(do)


def reset() -> None:
    """A transaction begins (again)."""
    if _notes.rows:
        _notes.rows = []


def flush() -> None:
    """It has committed."""
    if not _notes.rows:
        return
    rows, _notes.rows = _notes.rows, []
    for do in rows:
        do()
