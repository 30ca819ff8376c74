"""SIGTERM and SIGINT for processes that go round until they are told to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def told_to_stop() -> threading.Event:
    """An event that either signal sets. Call it in the main thread."""
    halt = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        halt.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return halt
