"""What stands in for the host in the engine's modules: its clock, its chance, its new ids, and what a process remembers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

from surefoot.app.engine.jobs import retries
from surefoot.app.engine.worker import execute, invoke
from surefoot.app.simulation.store import SimStore
from surefoot.app.store import ids, session, undone
from surefoot.app.testkit.clock import START, VirtualClock


@contextmanager
def standing_in(store: SimStore, seed: int) -> Iterator[None]:
    """Meanwhile the engine lives in this store's time, and whatever it draws follows from `seed`."""
    real: list[tuple[Any, str, Any]] = []
    try:
        for module, name, stand_in in _stand_ins(store, seed):
            real.append((module, name, getattr(module, name)))
            setattr(module, name, stand_in)
        yield
    finally:
        while real:
            setattr(*real.pop())


def _stand_ins(store: SimStore, seed: int) -> list[tuple[Any, str, Any]]:
    return [
        (execute, "time", HostTime(store)),
        (invoke, "time", HostTime(store)),
        (session, "time", HostTime(store)),
        (session, "_one_writer", nullcontext()),  # actors stop before a transaction, never in one
        (retries, "random", random.Random(seed)),
        (
            undone,
            "_kept",
            undone.Kept(),
        ),  # what a process remembers of jobs: ids come again in the next world
        (ids, "uuid_utils", SimpleNamespace(uuid7=_counted_ids(store.clock))),
    ]


def _counted_ids(clock: VirtualClock) -> Callable[[], str]:
    """UUIDv7s of the virtual time and a counter."""
    count = 0

    def next_id() -> str:
        nonlocal count
        count += 1
        ms = int((START.timestamp() + clock.now_s) * 1000)
        digits = f"{ms:012x}7000{0x8000000000000000 + count:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    return next_id


class HostTime:
    """The host's clock as the engine's modules see it: it stands with the virtual one, and sleeping is waiting on the stage."""

    def __init__(self, store: SimStore) -> None:
        self._store, self._slept_s = store, 0.0

    def monotonic(self) -> float:
        return self._store.clock.now_s + self._slept_s

    def sleep(self, seconds: float) -> None:
        self._slept_s += seconds
        self._store.stage.wait("sleeps")
