"""SIGSTOP for processes that share a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.orders import Shop
from tests.support.waiting import wait_until


def freeze(home: Path, processes: Sequence[psutil.Process]) -> None:
    """SIGSTOP them, at a moment when none of them holds the lock of a SQLite file of `home`: that would freeze everybody, by design."""

    def frozen_without_a_lock() -> bool:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        wait_until(
            lambda: all(stands_still(process.pid) for process in processes),
            30,
            what="every thread to stand still",
        )
        if all(can_be_written(file) for file in home.glob("*.sqlite")):
            return True
        thaw(processes)
        return False

    wait_until(frozen_without_a_lock, 30, what="a moment without locks")


def thaw(processes: Sequence[psutil.Process]) -> None:
    """Whoever is left goes on: the first that does may end others."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def stands_still(pid: int) -> bool:
    """Whether each of its threads has stopped, or the process is gone. One that was in the kernel may still get a lock on its way out."""
    try:
        states = [
            task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
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
def frozen(home: Path, processes: Sequence[psutil.Process]) -> Iterator[None]:
    """They stand still meanwhile; afterwards whoever is left goes on."""
    freeze(home, processes)
    try:
        yield
    finally:
        thaw(processes)


@contextmanager
def frozen_in_mid_charge(shop: Shop, *, whole: bool) -> Iterator[tuple[str, psutil.Process]]:
    """An order, and the main process of the worker at whose hands its charge stands still: the child's alone, or the `whole` worker's.

    An order whose charge was over before all stood still is left to complete, and there is another.
    """

    def caught() -> tuple[str, psutil.Process, list[psutil.Process]] | None:
        job = shop.order(card="tok_slow")
        wait_until(
            lambda: shop.step(job, "charge_card") == "running",
            60,
            what="the charge to be under way",
        )
        charge = _charge_of(shop, job)
        child = psutil.Process(charge.pid)
        main = child.parent()
        assert main is not None
        processes = [main, *main.children(recursive=True)] if whole else [child]
        freeze(shop.up.home, processes)
        now = _charge_of(shop, job)
        if (now.state, now.fence) == ("running", charge.fence):
            return job, main, processes
        thaw(processes)
        return None

    found = wait_until(caught, 120, what="a charge to stand still")
    assert found is not None
    job, main, processes = found
    try:
        yield job, main
    finally:
        thaw(processes)


def _charge_of(shop: Shop, job: str) -> Any:
    """The row of its charge."""
    return next(
        row
        for row in shop.operations()
        if (row.job_id, row.step, row.kind) == (job, "charge_card", "action")
    )
