"""`python -m workers.bench.growth EXTENT`: measures what grows, and prints a line of JSON for each size of each row."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from app.bench.gauges import PostgresGauge
from app.bench.growth import Extent
from app.config import Settings
from app.saga.definition import Saga
from app.saga.outcomes import NotYet, Rejected
from app.store import queries, updates
from app.store.session import asking, one_statement, open_engine
from workers.bench import filling
from workers.bench.sagas import Nothing, empty
from workers.bench.told import store_url
from workers.bench.yard import Yard

BATCHES = 3
LOOKS = 15  # at each sweep's query; the quickest counts
COPIED = 20_000  # jobs at a time, so that the clock is looked at
PARKED_S = 30 * 24 * 3600.0
NIL = "00000000-0000-0000-0000-000000000000"
SWEEPS: dict[str, Callable[[Connection], Any]] = {
    "unsent": lambda c: queries.unsent(c, 1.0, 200),
    "lost": lambda c: queries.sent_long_ago(c, 15.0, 60.0, 200),
    "expired": lambda c: queries.expired(c, 200),
    "due": lambda c: updates.wake_due(c, 200),
    "nobody_came": lambda c: queries.nobody_came(c, 200),
    "stranded": lambda c: queries.stranded(c, 200),
    "deadline": lambda c: queries.past_deadline(c, 200),
    "undo_by": lambda c: queries.past_undo_by(c, 200),
    "idle": lambda c: queries.idle(c, NIL, 200),
}


def chain(steps: int, lanes: int, *, undone: bool = False) -> Saga[Nothing]:
    """Steps one after the other; `undone`: the last one is refused, so all others are undone."""
    saga = Saga(f"bench_{'undone' if undone else 'chain'}_{steps}_{lanes}", version=1, input=Nothing)
    for number in range(steps):
        lane = f"bench_{'abc'[number % lanes]}"
        if not undone:
            saga.step(lane=lane, undo=None)(empty(f"step_{number}"))
        else:
            step = saga.step(lane=lane)(empty(f"step_{number}"))
            step.compensate(fidelity="exact")(empty(f"undo_{number}"))
    if undone:
        saga.step(lane="bench_a", pure=True)(refused)
    return saga


def refused(ctx: Any, o: Nothing) -> None:
    raise Rejected("no")


def fork(members: int) -> Saga[Nothing]:
    saga = Saga(f"bench_fork_{members}", version=1, input=Nothing)
    made = [saga.step(lane="bench_a", after=[], undo=None)(empty(f"member_{number}")) for number in range(members)]
    saga.step(lane="bench_a", after=made, undo=None)(empty("join"))
    return saga


def parked() -> Saga[Nothing]:
    saga = Saga("bench_parked", version=1, input=Nothing)
    saga.step(lane="bench_a", undo=None)(parks)
    return saga


def parks(ctx: Any, o: Nothing) -> NotYet:
    return NotYet(PARKED_S)


class Meter:
    """Processor time of this process and of the database, WAL and messages, between two readings."""

    def __init__(self, db: Engine, url: str) -> None:
        self._gauge = None if db.dialect.name == "sqlite" else PostgresGauge(url)

    def read(self, yard: Yard) -> dict[str, float]:
        box = yard.postbox
        found = {"cpu_ms": 1000 * (time.process_time() - box.weighing_s), "message_bytes": box.bytes_, "messages": box.messages}
        if self._gauge is not None:
            found["database_ms"] = 1000 * (self._gauge.cpu_s() or 0.0)
            found["wal_bytes"] = self._gauge.wal_bytes() or 0
        return found

    def over(self, yard: Yard, units: int, work: Callable[[], Any]) -> dict[str, float]:
        """What `work` costs for each of its units."""
        before, began = self.read(yard), time.perf_counter()
        work()
        took, after = time.perf_counter() - began, self.read(yard)
        told = {name: (after[name] - before[name]) / units for name in after}
        return {"cpu_all_ms": told["cpu_ms"] + told.get("database_ms", 0.0), **told, "per_s": units / took}


class Growth:
    """The rows, one after the other, as far as time allows."""

    def __init__(self, extent: Extent, url: str) -> None:
        self._extent, self._until = extent, time.monotonic() + extent.seconds
        self._db = open_engine(url)
        self._meter = Meter(self._db, url)
        self._settings = Settings(lease_seconds=3600.0, lost_seconds=7200.0, heartbeat_seconds=5.0)
        self._three, self._parked = chain(3, 1), parked()
        self._yard = Yard(self._db, self._settings, [self._three, self._parked])

    def told(self) -> Iterator[dict[str, Any]]:
        """What is printed."""
        yield from self._steps()
        yield from self._forks()
        yield from self._waiting()
        yield from self._finished()

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _steps(self) -> Iterator[dict[str, Any]]:
        for name, title, lanes, undone in (
            ("steps_one_lane", "steps of a chain on one lane", 1, False),
            ("steps_lanes", "steps of a chain across three lanes", 3, False),
            ("steps_undone", "steps done and undone", 1, True),
        ):
            for steps in _sizes(3, 30, self._extent.steps):
                saga = chain(steps, lanes, undone=undone)
                yard, many = Yard(self._db, self._settings, [saga]), max(1, 3 * self._extent.jobs // steps)
                _one(yard, saga)  # warm
                yield _line(name, title, 1.15, steps, self._meter.over(yard, many * steps, partial(_run, yard, saga, many)))

    def _forks(self) -> Iterator[dict[str, Any]]:
        took, before = 0.0, 1
        for members in _sizes(10, 1000, self._extent.members):
            if took * members / before > self._left() / 2:
                yield {"left_out": f"a fork of {members:,}"}
                return
            saga, began = fork(members), time.monotonic()
            yard, many = Yard(self._db, self._settings, [saga]), max(1, 3 * self._extent.jobs // members)
            if members <= 1000:
                _one(yard, saga)
            figures = self._meter.over(yard, many * (members + 1), partial(_run, yard, saga, many))
            yield _line("fork", "members of a fork", 1.15, members, figures)
            took, before = time.monotonic() - began, members

    def _waiting(self) -> Iterator[dict[str, Any]]:
        """The rate of running jobs, with a round of the relay after every tenth, while others wait for a month."""
        first = 0x7_0000_0000
        template = _one(self._yard, self._parked)
        for size in _sizes(0, self._extent.parked):
            if size:
                for number in range(0, size, COPIED):
                    filling.copy(self._db, template, first + number, first + min(size, number + COPIED) - 1)
                filling.settle(self._db)
            yield _line("parked", "jobs that wait", 1.05, size, self._batches(sweeping=True))

    def _finished(self) -> Iterator[dict[str, Any]]:
        template, made = _one(self._yard, self._three), 0
        for size in _sizes(1000, self._extent.rows // 10, self._extent.rows):
            began, start = time.monotonic(), made
            while made < size:
                took = time.monotonic() - began
                if made > start and took / (made - start) * (size - made) > self._left() - 30:
                    yield {"left_out": f"{size:,} finished jobs"}
                    return
                more = min(COPIED, size - made)
                filling.copy(self._db, template, made, made + more - 1)
                made += more
            filling.settle(self._db)
            yield _line("finished", "finished jobs in the store", 1.15, size, self._batches(sweeping=False) | self._sweep_ms())

    def _batches(self, *, sweeping: bool) -> dict[str, float]:
        _run(self._yard, self._three, min(10, self._extent.jobs))
        jobs = self._extent.jobs
        found = [self._meter.over(self._yard, jobs, lambda: _run(self._yard, self._three, jobs, sweeping=sweeping)) for _ in range(BATCHES)]
        return {name: median(one[name] for one in found) for name in found[0]}

    def _sweep_ms(self) -> dict[str, float]:
        found = {}
        for name, query in SWEEPS.items():
            times = []
            for _ in range(LOOKS):
                began = time.perf_counter()
                if name == "due":
                    one_statement(self._db, query)
                else:
                    with asking(self._db) as connection:
                        query(connection)
                times.append(1000 * (time.perf_counter() - began))
            found[f"sweep_{name}_ms"] = min(times)
        return found


def _sizes(*sizes: int) -> list[int]:
    """Growing sizes, each once; what a small extent makes smaller than one before is left out."""
    most = sizes[-1]
    return sorted({size for size in sizes if size <= most})


def _one(yard: Yard, saga: Saga[Any]) -> str:
    job = yard.submit(saga)
    yard.run()
    return job


def _run(yard: Yard, saga: Saga[Any], jobs: int, *, sweeping: bool = False) -> None:
    for number in range(jobs):
        _one(yard, saga)
        if sweeping and number % 10 == 0:
            yard.sweep()


def _line(name: str, title: str, limit: float, size: int, values: dict[str, float]) -> dict[str, Any]:
    return {"name": name, "title": title, "limit": limit, "size": size, "values": values}


def main() -> None:
    """Each line as soon as it is known. Standard output is for them alone."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in Growth(Extent(**json.loads(sys.argv[1])), store_url()).told():
            print(json.dumps(line), file=out, flush=True)


if __name__ == "__main__":
    main()
