"""Many schedules over several processes, and what they came to."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.simulation.points import NAMED
from app.simulation.schedule import Outcome, run
from app.simulation.shrink import shrunk

MOST_FAILURES = 5  # after so many no more schedules are begun
CHUNK = 10  # schedules that a process is given at a time


@dataclass
class Tally:
    """What a number of schedules came to. `faults`: how often each kind was done; `points`: how often each was passed."""

    schedules: int = 0
    actions: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.schedules += 1
        self.actions += len(outcome.actions)
        self.faults.update(action.verb for action in outcome.actions)
        self.faults["dies"] += sum(outcome.crashes.values())
        self.answers.update(outcome.answers)
        self.ends.update(outcome.ends)
        self.points.update(outcome.points)
        self.crashes.update(outcome.crashes)
        if outcome.failed:
            self.failures.append(outcome)

    def join(self, other: Tally) -> None:
        for name in ("faults", "answers", "ends", "points", "crashes"):
            getattr(self, name).update(getattr(other, name))
        self.schedules += other.schedules
        self.actions += other.actions
        self.failures += other.failures

    @property
    def never_passed(self) -> list[str]:
        """Named points that no schedule has come to."""
        return sorted(NAMED - self.points.keys())

    @property
    def never_died(self) -> list[str]:
        """Named points at which no process has died."""
        return sorted(NAMED - self.crashes.keys())


def simulate(schedules: int, *, seed: int = 0, jobs: int = 1, told: Callable[[Tally], None] | None = None) -> Tally:
    """Run the schedules of `seed` and the numbers after it, over `jobs` processes. `told`: after each batch, how far it is.

    The failures come back with their shortest schedule first, cut down.
    """
    began, tally = time.monotonic(), Tally()
    for part in _parts(schedules, seed, jobs):
        tally.join(part)
        tally.seconds = time.monotonic() - began
        if told is not None:
            told(tally)
        if len(tally.failures) >= MOST_FAILURES:
            break
    tally.failures.sort(key=lambda outcome: (len(outcome.actions), outcome.seed))
    if tally.failures:
        tally.failures[0] = quietly(shrunk, tally.failures[0])
    tally.seconds = time.monotonic() - began
    return tally


def _parts(schedules: int, seed: int, jobs: int) -> Iterator[Tally]:
    chunks = [(first, min(CHUNK, seed + schedules - first)) for first in range(seed, seed + schedules, CHUNK)]
    if jobs <= 1:
        for chunk in chunks:
            yield _chunk(chunk)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:  # a forked child would share the parent's connections
        yield from pool.imap_unordered(_chunk, chunks)


def _chunk(chunk: tuple[int, int]) -> Tally:
    first, count = chunk
    tally = Tally()
    for seed in range(first, first + count):
        tally.add(quietly(run, seed))
    return tally


def quietly(work: Callable[..., Outcome], *args: Any) -> Outcome:
    """Without the engine's log: it tells of every fault that is injected here on purpose."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False)
    try:
        return work(*args)
    finally:
        structlog.configure(**before)


def cores() -> int:
    """How many processes are of use here."""
    return os.cpu_count() or 1
