"""The rounds: everything is started, warmed, measured in turns, and taken away again."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from surefoot.app.bench import fleet, place
from surefoot.app.bench.fleet import Client
from surefoot.app.bench.gauges import (
    Broker,
    Gauges,
    PostgresGauge,
    Reading,
    SqliteGauge,
    job_commands,
    messages,
    tree_rss_bytes,
)
from surefoot.app.bench.place import Place
from surefoot.app.bench.rows import ALL, Row, of_round
from surefoot.app.bench.tally import Tallies
from surefoot.app.config import Settings
from surefoot.app.supervisor import stack
from surefoot.app.supervisor.supervisor import Supervisor

WARM_JOBS, WARM_WIDE_JOBS = 20, 6
BATCH_S = 1.5  # how long a batch lasts when nobody says how many jobs it has
FEWEST, MOST = 4, 400
IDLE_JOBS = 10
TAKEN, OWN = (
    "two empty databases of the server of BROKER_URL",
    "a server of the bench's own, append-only file on",
)
SETTLE_S, SETTLE_LOOK_S = 3.0, 0.04  # the last acknowledgements come after the last job's end
GATHERED_S = 0.4  # events of operations that were run on to are gathered for half of that


@dataclass(frozen=True)
class Plan:
    """`jobs` of a batch, or None for as many as take BATCH_S; no round starts that would end after
    `seconds`.
    """

    rounds: int = 5
    jobs: int | None = None
    seconds: float = 150.0


@dataclass(frozen=True)
class Sample:
    """One batch. Totals, not per job; seconds and bytes."""

    row: Row
    round: int
    submitted: int
    finished: int
    rescued: int
    wall_s: float
    submit_s: tuple[float, ...]
    done_s: tuple[float, ...]
    cpu_s: dict[str, float | None]
    commits: int
    wal_bytes: int | None
    messages: int
    commands: int
    rss_bytes: int
    foreign_cpus: float  # processors that others kept busy

    @property
    def rate(self) -> float:
        return self.finished / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Of client, workers, database and broker, for one job."""
        return 1000 * sum(value or 0.0 for value in self.cpu_s.values()) / max(1, self.finished)


@dataclass
class Result:
    """All batches, and where they ran."""

    store: str
    broker: str
    children: int
    samples: list[Sample] = field(default_factory=list)
    rounds: int = 0
    asked_rounds: int = 0
    seconds: float = 0.0


def bench(settings: Settings, plan: Plan, say: Callable[[str], None]) -> Result:
    """Measure. `say` is told in a line how far it is.

    Raises: SettingsError when store or broker cannot be used; CannotStart; ClientLost;
    KeyboardInterrupt after Ctrl-C. Nothing is left behind in any case.
    """
    started = time.monotonic()
    with ExitStack() as held:
        home = held.enter_context(place.home())
        store_url, store_words = held.enter_context(place.store(settings, home))
        taken = (
            held.enter_context(place.databases_of(settings.broker_url))
            if settings.broker_url
            else None
        )
        held.enter_context(_signals_back())
        supervisor = Supervisor(home / "log", {}, lambda line: None)
        held.callback(supervisor.stop)
        broker_urls, broker_words = (
            (taken, TAKEN) if taken else (_own_broker(supervisor, home), OWN)
        )
        where = Place(home, store_url, broker_urls)
        broker = Broker(broker_urls[0])
        held.callback(broker.close)
        result = Result(
            store_words,
            f"Redis {broker.version}, {broker_words}",
            fleet.CHILDREN,
            asked_rounds=plan.rounds,
        )
        say(
            f"store: {result.store}; broker: {result.broker}; {fleet.CHILDREN} worker processes for each row"
        )
        clients = []
        for events in (False, True):
            clients.append(Client(where, events=events))
            held.callback(clients[-1].close)
        sqlite = where.sqlite_file
        gauge = SqliteGauge(sqlite) if sqlite else PostgresGauge(store_url)
        held.callback(gauge.close)
        table = _Bench(plan, supervisor, clients, Gauges(broker, gauge, Tallies(where.tally)))
        supervisor.until_ready(*[supervisor.start(part) for part in fleet.parts(where, ALL)])
        table.warm()
        say(f"warm after {time.monotonic() - started:.0f} s")
        while result.rounds < plan.rounds and table.fits(started, result.rounds):
            result.samples += table.round(result.rounds)
            result.rounds += 1
            say(f"round {result.rounds} of {plan.rounds}, {time.monotonic() - started:.0f} s")
    result.seconds = time.monotonic() - started
    return result


def _own_broker(supervisor: Supervisor, home: Path) -> tuple[str, str]:
    part, _, url = stack.broker(home, secrets.token_urlsafe(24), None)
    supervisor.until_ready(supervisor.start(part))
    return url, url.removesuffix("/0") + "/1"


@contextmanager
def _signals_back() -> Iterator[None]:
    """The supervisor takes signals for itself; give them back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class _Bench:
    """What stands while the bench runs."""

    def __init__(
        self, plan: Plan, supervisor: Supervisor, clients: Sequence[Client], gauges: Gauges
    ) -> None:
        self._plan, self._supervisor, self._clients, self._gauges = (
            plan,
            supervisor,
            clients,
            gauges,
        )
        self._jobs: dict[str, int] = {}
        self._longest_round_s = 0.0
        self._watched = True  # whether the last row had events

    def warm(self) -> None:
        """Everything is imported, connected and prepared once; and how many jobs a batch has is
        decided.
        """
        for row in ALL:
            warm = WARM_WIDE_JOBS if row.share < 1 else WARM_JOBS
            self._ask(row, warm, "load")
            answer = self._ask(row, warm, "load")
            fitting = int(BATCH_S * answer["finished"] / answer["wall_s"])
            wanted = (
                max(1, round(self._plan.jobs * row.share))
                if self._plan.jobs
                else min(MOST, max(FEWEST, fitting))
            )
            self._jobs[row.name] = wanted

    def fits(self, started: float, rounds: int) -> bool:
        """Whether one more round ends in time. The first is always run."""
        return (
            rounds == 0 or time.monotonic() - started + self._longest_round_s <= self._plan.seconds
        )

    def round(self, number: int) -> list[Sample]:
        """Every row of the round once."""
        before = time.monotonic()
        samples = [self._measure(row, number) for row in of_round(number)]
        self._longest_round_s = max(self._longest_round_s, time.monotonic() - before)
        return samples

    def _measure(self, row: Row, number: int) -> Sample:
        self._settle()
        before, before_at = self._read(row), time.monotonic()
        answer = self._ask(row, self._jobs[row.name], "load")
        self._settle()
        after, after_at = self._read(row), time.monotonic()
        alone = self._ask(row, min(IDLE_JOBS, self._jobs[row.name]), "idle")
        commands = {
            name: calls - before.commands.get(name, 0) for name, calls in after.commands.items()
        }
        foreign_s = (after.busy_s - before.busy_s) - (after.ours_s - before.ours_s)
        return Sample(
            row=row,
            round=number,
            submitted=answer["submitted"],
            finished=answer["finished"],
            rescued=answer["rescued"] + alone["rescued"],
            wall_s=answer["wall_s"],
            submit_s=tuple(answer["submit_s"]),
            done_s=tuple(alone["done_s"]),
            cpu_s={name: _less(after.cpu_s[name], before.cpu_s[name]) for name in after.cpu_s},
            commits=after.commits - before.commits,
            wal_bytes=int(_less(after.wal_bytes, before.wal_bytes) or 0),
            messages=messages(commands),
            commands=job_commands(commands),
            rss_bytes=tree_rss_bytes(self._workers(row)),
            foreign_cpus=max(0.0, foreign_s / (after_at - before_at)),
        )

    def _read(self, row: Row) -> Reading:
        return self._gauges.read(self._clients[int(row.events)].pid, self._workers(row))

    def _workers(self, row: Row) -> list[int]:
        return fleet.pids_of(self._supervisor.children, row.workers)

    def _ask(self, row: Row, jobs: int, how: str) -> dict[str, Any]:
        self._watched = row.events
        return self._clients[int(row.events)].ask(
            self._supervisor, row.what, jobs, how, self._gauges.store.look
        )

    def _settle(self) -> None:
        """Wait until jobs cause no more commands: looks alike, for as long as events of the last
        row may be gathered.
        """
        last, alike, wanted = -1, 0, int(GATHERED_S / SETTLE_LOOK_S) if self._watched else 1
        for _ in range(int(SETTLE_S / SETTLE_LOOK_S)):
            now = job_commands(self._gauges.broker.commands())
            alike = alike + 1 if now == last else 0
            if alike >= wanted:
                return
            last = now
            self._gauges.store.look()
            time.sleep(SETTLE_LOOK_S)


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {"processors": psutil.cpu_count(), "memory_bytes": psutil.virtual_memory().total}
