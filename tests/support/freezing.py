"""SIGSTOP for processes that share a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.orders import Shop
from tests.support.waiting import wait_until


def freeze(shop: Shop, processes: list[psutil.Process]) -> list[psutil.Process]:
    """SIGSTOP them, at a moment when none of them holds the lock of a SQLite file: that would freeze everybody, by design."""

    def frozen_without_a_lock() -> bool:
        for process in processes:
            process.suspend()
        wait_until(lambda: all(stands_still(process.pid) for process in processes), 30, what="every thread to stand still")
        if all(can_be_written(file) for file in shop.up.home.glob("*.sqlite")):
            return True
        for process in processes:
            process.resume()
        return False

    wait_until(frozen_without_a_lock, 30, what="a moment without locks")
    return processes


def stands_still(pid: int) -> bool:
    """Whether each of its threads has stopped, or the process is gone. One that was in the kernel may still get a lock on its way out."""
    try:
        states = [task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return not psutil.pid_exists(pid)
    return set(states) <= {"T", "t", "Z", "X"}


def can_be_written(file: Path) -> bool:
    connection = sqlite3.connect(file, timeout=0.5, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


@contextmanager
def frozen(shop: Shop, processes: Sequence[psutil.Process]) -> Iterator[None]:
    """They stand still meanwhile; afterwards whoever is left goes on."""
    stopped = freeze(shop, list(processes))
    try:
        yield
    finally:
        for process in stopped:
            if process.is_running():
                process.resume()
