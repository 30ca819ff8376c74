"""Many schedules over several processes, and what they came to."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from surefoot.app.simulation.points import NAMED
from surefoot.app.simulation.postgres import PostgresStore, drop_schemas, run_prefix
from surefoot.app.simulation.schedule import Outcome, run
from surefoot.app.simulation.shrink import MOST_RUNS, shrunk
from surefoot.app.simulation.store import SimStore

MOST_FAILURES = 5  # after so many no more schedules are begun
CHUNK = 10  # schedules that a process is given at a time
EVERY = 9  # has no divisor in common with what makes seeds special (8, 16): of each kind some
COLLECT_EACH = (20_000, 50, 100)  # as in gc.set_threshold: Python's own take an eighth of the time
MOST_RUNS_ON_POSTGRESQL = MOST_RUNS // 4  # each takes some times as long


@dataclass(frozen=True)
class Elsewhere:
    """Which schedules run on PostgreSQL: those whose number `every` divides.

    `prefix`: of the schemas that the run makes.
    """

    url: str
    every: int = EVERY
    prefix: str = field(default_factory=run_prefix)

    def has(self, seed: int) -> bool:
        return seed % self.every == 0


@dataclass
class Tally:
    """What a number of schedules came to.

    `faults`: how often each kind was done; `points`: how often each was passed.
    """

    schedules: int = 0
    on_postgresql: int = 0  # of them
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
        self.on_postgresql += outcome.on_postgresql
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
        self.on_postgresql += other.on_postgresql
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


def simulate(
    schedules: int,
    *,
    seed: int = 0,
    jobs: int = 1,
    told: Callable[[Tally], None] | None = None,
    elsewhere: Elsewhere | None = None,
) -> Tally:
    """Run the schedules of `seed` and the numbers after it, over `jobs` processes.

    `told`: after each batch, how far it is. The failures come back with their shortest schedule
    first, cut down.
    Raises: psycopg.Error when PostgreSQL cannot be had `elsewhere`.
    """
    began, tally = time.monotonic(), Tally()
    with _schemas_dropped(elsewhere):
        for part in _parts(schedules, seed, jobs, elsewhere):
            tally.join(part)
            tally.seconds = time.monotonic() - began
            if told is not None:
                told(tally)
            if len(tally.failures) >= MOST_FAILURES:
                break
        tally.failures.sort(key=lambda outcome: (len(outcome.actions), outcome.seed))
        if tally.failures:
            tally.failures[0] = _cut_down(tally.failures[0], elsewhere)
    tally.seconds = time.monotonic() - began
    return tally


def _cut_down(failed: Outcome, elsewhere: Elsewhere | None) -> Outcome:
    if elsewhere is None or not failed.on_postgresql:
        return quietly(shrunk, failed)
    return quietly(shrunk, failed, MOST_RUNS_ON_POSTGRESQL, store=_there(elsewhere))


def _parts(schedules: int, seed: int, jobs: int, elsewhere: Elsewhere | None) -> Iterator[Tally]:
    end = seed + schedules
    chunks = [(first, min(CHUNK, end - first)) for first in range(seed, end, CHUNK)]
    work = partial(_chunk, elsewhere)
    if jobs <= 1:
        yield from map(work, chunks)
        return
    # a forked child would share the parent's connections
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, chunks)


def _chunk(elsewhere: Elsewhere | None, chunk: tuple[int, int]) -> Tally:
    first, count = chunk
    tally = Tally()
    for seed in range(first, first + count):
        there = elsewhere is not None and elsewhere.has(seed)
        tally.add(quietly(run, seed, store=_there(elsewhere) if elsewhere and there else None))
    return tally


_stores: dict[str, PostgresStore] = {}  # of this process, by the run's prefix


def _there(elsewhere: Elsewhere) -> SimStore:
    if elsewhere.prefix not in _stores:
        _stores[elsewhere.prefix] = PostgresStore(elsewhere.url, elsewhere.prefix)
    return _stores[elsewhere.prefix]


@contextmanager
def _schemas_dropped(elsewhere: Elsewhere | None) -> Iterator[None]:
    """In the end nothing is left of what this run has made, in whichever process."""
    if elsewhere is not None:
        drop_schemas(
            elsewhere.url, elsewhere.prefix
        )  # there is none yet: it is asked whether it answers
    try:
        yield
    finally:
        if elsewhere is not None:
            if (own := _stores.pop(elsewhere.prefix, None)) is not None:
                own.engine.dispose()
            drop_schemas(elsewhere.url, elsewhere.prefix)


def quietly(work: Callable[..., Outcome], *args: Any, **more: Any) -> Outcome:
    """Without the engine's log: it tells of every fault that is injected here on purpose."""
    before, collected = structlog.get_config(), gc.get_threshold()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )
    gc.set_threshold(*COLLECT_EACH)
    try:
        return work(*args, **more)
    finally:
        gc.set_threshold(*collected)
        structlog.configure(**before)


def cores() -> int:
    """How many processes are of use here."""
    return os.cpu_count() or 1
