"""What a transaction does is counted when it has committed.

A transaction may be rolled back and run again, whole. So what happens inside is noted aside, in its own thread, and
whoever runs the transaction says how it ended.
"""

from __future__ import annotations

import threading

from app.metrics.files import started
from app.metrics.kinds import Counter


class _Notes(threading.local):
    def __init__(self) -> None:
        self.rows: list[tuple[Counter, dict[str, str]]] = []


_notes = _Notes()


def note(counter: Counter, **labels: str) -> None:
    """Count one of these if the transaction of this thread commits."""
    if started():
        _notes.rows.append((counter, labels))


def forget() -> None:
    """A transaction begins (again)."""
    if _notes.rows:
        _notes.rows = []


def committed() -> None:
    """It has committed."""
    if not _notes.rows:
        return
    rows, _notes.rows = _notes.rows, []
    for counter, labels in rows:
        counter.count(labels)
