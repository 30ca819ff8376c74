"""`python -m surefoot.workers.bench.growth FILE`: measures what grows, and prints a line of JSON
for each size of each row in each round.

FILE: {"extent": an Extent's fields, "stores": store's name -> its URL}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from surefoot.app.bench.growth import SMALL, Extent, growing, store_of
from surefoot.app.config import Settings
from surefoot.app.saga.definition import Saga
from surefoot.app.store.session import open_engine
from surefoot.workers.bench import filling
from surefoot.workers.bench.growing import chain, fork, parked
from surefoot.workers.bench.meter import Meter
from surefoot.workers.bench.sagas import Nothing
from surefoot.workers.bench.sweeps import sweep_ms
from surefoot.workers.bench.yard import Yard

COPIED = 20_000  # jobs at a time, so that the clock is looked at
OPEN = 1000  # waiting jobs in every store of finished ones, so that each sweep has a page to read
LONG_AGO = 0x7_0000_0000  # the number of the first waiting job; finished ones are numbered from 0
WARM = 20  # jobs: by then PostgreSQL has settled for a plan of each statement
WIDE = 1000  # members; a wider fork is not run to warm up
Line = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """A row's one size, ready to be measured.

    `batch` gives its figures; `warm` does a little of the same.
    """

    size: int
    yard: Yard
    batch: Callable[[], dict[str, float]]
    warm: Callable[[], object]


class Growth:
    """The rows: what grows is filled first, then each row is measured in rounds, as far as time
    allows.
    """

    def __init__(self, extent: Extent, stores: dict[str, str]) -> None:
        self._extent, self._until = extent, time.monotonic() + extent.seconds
        self._stores, self._small = stores, open_engine(stores[SMALL])
        self._meter = Meter(stores[SMALL])
        self._settings = Settings(lease_seconds=3600.0, lost_seconds=7200.0, heartbeat_seconds=5.0)
        self._three, self._parked = chain(3, 1), parked()

    def told(self) -> Iterator[Line]:
        """What is printed."""
        waiting: list[Side] = []
        finished: list[Side] = []
        for name, sides, sizes in (
            ("parked", waiting, self._extent.parked_sizes()),
            ("finished", finished, self._extent.finished_sizes()),
        ):
            for size in sizes:
                yield {"doing": f"{size:,} {name} jobs are filled in"}
                yard = self._filled(name, size)
                if yard is None:
                    yield {"left_out": f"{size:,} {name} jobs"}
                else:
                    sides.append(self._beside(yard, size, sweeping=name == "parked"))
        for name, title, lanes, undone in (
            ("steps_one_lane", "steps of a chain on one lane", 1, False),
            ("steps_lanes", "steps of a chain across three lanes", 3, False),
            ("steps_undone", "steps done and undone", 1, True),
        ):
            chains = [
                (steps, chain(steps, lanes, undone=undone))
                for steps in growing(3, 30, self._extent.steps)
            ]
            yield from self._rounds(
                name, title, 1.15, [self._alone(steps, steps, saga) for steps, saga in chains]
            )
        yield from self._rounds("parked", "jobs that wait", 1.05, waiting)
        yield from self._rounds("finished", "finished jobs in the store", 1.15, finished)
        yield from self._forks()

    def _left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def _rounds(self, name: str, title: str, limit: float, sides: Sequence[Side]) -> Iterator[Line]:
        """Each side in each round, there and back, after a warm-up and on a store that has come to
        rest.
        """
        for side in sides:
            side.warm()
        for db in {side.yard.db for side in sides}:
            filling.settle(db)
        for side in sides:
            side.warm()
        rounds, took = self._extent.rounds, 0.0
        for number in range(rounds):
            if took > self._left():
                yield {"left_out": f"rounds {number + 1} to {rounds} of {title}"}
                return
            yield {"doing": f"{title}, round {number + 1} of {rounds}"}
            began = time.monotonic()
            for side in sides if number % 2 == 0 else reversed(sides):
                yield {
                    "name": name,
                    "title": title,
                    "limit": limit,
                    "size": side.size,
                    "values": side.batch(),
                }
            took = time.monotonic() - began

    def _alone(self, size: int, operations: int, saga: Saga[Nothing]) -> Side:
        """Jobs of one saga, as many as make up a batch's steps; figures are those of an operation."""
        yard, many = (
            Yard(self._small, self._settings, [saga]),
            max(1, 3 * self._extent.jobs // size),
        )
        batch = partial(self._meter.over, yard, many * operations, partial(_run, yard, saga, many))
        return Side(size, yard, batch, partial(_run, yard, saga, 1 if size <= WIDE else 0))

    def _forks(self) -> Iterator[Line]:
        sides: list[Side] = []
        took, before = 0.0, 1
        for members in growing(10, WIDE, self._extent.members):
            if took * members / before > self._left() / 2:
                yield {"left_out": f"a fork of {members:,}"}
                break
            sides.append(self._alone(members, members + 1, fork(members)))
            began, before = time.monotonic(), members
            sides[-1].warm()
            took = time.monotonic() - began
        yield from self._rounds("fork", "members of a fork", 1.15, sides)

    def _beside(self, yard: Yard, size: int, *, sweeping: bool) -> Side:
        """Jobs of three steps in a filled store: `sweeping`, with a round of the relay after every
        tenth; else with each sweep's query.
        """
        jobs = self._extent.jobs
        work = partial(_run, yard, self._three, jobs, sweeping=sweeping)

        def batch() -> dict[str, float]:
            return self._meter.over(yard, jobs, work) | ({} if sweeping else sweep_ms(yard.db))

        def warm() -> None:
            _run(yard, self._three, min(WARM, jobs), sweeping=True)
            sweep_ms(yard.db)

        return Side(size, yard, batch, warm)

    def _filled(self, row: str, size: int) -> Yard | None:
        """A store of its own with so many jobs.

        None when it would take more than half of the time that is left.
        """
        yard = Yard(
            open_engine(self._stores[store_of(row, size)]),
            self._settings,
            [self._three, self._parked],
        )
        parked, finished = (size, 0) if row == "parked" else (min(OPEN, size), size)
        fits = self._copied(yard, self._parked, LONG_AGO, parked) and self._copied(
            yard, self._three, 0, finished
        )
        return yard if fits else None

    def _copied(self, yard: Yard, saga: Saga[Nothing], start: int, jobs: int) -> bool:
        """So many copies of a job of this saga.

        Returns: False as soon as it is seen that they take too long.
        """
        template, began = _one(yard, saga) if jobs else "", time.monotonic()
        for made in range(0, jobs, COPIED):
            end = min(jobs, made + COPIED)
            filling.copy(yard.db, template, start + made, start + end - 1)
            if (time.monotonic() - began) / end * (jobs - end) > self._left() / 2:
                return False
        return True


def _one(yard: Yard, saga: Saga[Any]) -> str:
    job = yard.submit(saga)
    yard.run()
    return job


def _run(yard: Yard, saga: Saga[Any], jobs: int, *, sweeping: bool = False) -> None:
    for number in range(jobs):
        _one(yard, saga)
        if sweeping and number % 10 == 0:
            yard.sweep()


def main() -> None:
    """Each line as soon as it is known. Standard output is for them alone."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    asked = json.loads(Path(sys.argv[1]).read_text())
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in Growth(Extent(**asked["extent"]), asked["stores"]).told():
            print(json.dumps(line), file=out, flush=True)


if __name__ == "__main__":
    main()
