"""What a poll costs beside a request that does nothing: `GET /api/v1/jobs/{id}` that finds nothing
new, and `/livez`.

Both are asked of the web server as `surefoot up` starts it, in turn, round after round, over one
and over many connections; what counts is the ratio within a round. The jobs stand half-way, as if a
worker had just claimed their first step, for nothing runs here.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from surefoot.app.access import keys
from surefoot.app.bench import fleet, place
from surefoot.app.bench.gauges import PostgresGauge, SqliteGauge, machine_busy_s, tree_cpu_s
from surefoot.app.bench.knocking import Knocked, ServerLost, knock, request
from surefoot.app.bench.place import Place
from surefoot.app.bench.result import Spread, spread
from surefoot.app.config import Settings
from surefoot.app.store.session import open_engine, transaction
from surefoot.app.store.views.names import API
from surefoot.app.supervisor import commands, ports, probes
from surefoot.app.supervisor.leash import leashed

HOST = "127.0.0.1"
READY_S, STOP_S = 60.0, 10.0
LOOK_S = 0.1
NOOP, POLL = "noop", "poll"
STATUS = {NOOP: 200, POLL: 304}
AIM = 0.8
WIDTH = 132


@dataclass(frozen=True)
class Extent:
    """`connections`: at once, one size after the other; `batch_s`: how long each kind is asked in a
    round; `jobs`: that are polled.
    """

    connections: tuple[int, ...] = (1, 8, 32)
    rounds: int = 7
    batch_s: float = 1.0
    jobs: int = 32


@dataclass(frozen=True)
class Batch:
    """One kind of request for a while.

    Milliseconds of processor time for each; the database's is None on SQLite.
    """

    per_s: float
    web_ms: float
    database_ms: float | None
    others_cpus: float


@dataclass
class Size:
    """One number of connections: for each round, a batch of each kind."""

    connections: int
    rounds: list[dict[str, Batch]] = field(default_factory=list)

    def ratios(self, figure: str) -> list[float]:
        """Of each round: how much of the no-op's rate a poll has (`per_s`), or what the no-op costs
        of a poll's time (`web_ms`).
        """
        pairs = [(getattr(one[NOOP], figure), getattr(one[POLL], figure)) for one in self.rounds]
        return [poll / noop if figure == "per_s" else noop / poll for noop, poll in pairs]

    def median(self, kind: str, figure: str) -> float | None:
        values = [value for one in self.rounds if (value := getattr(one[kind], figure)) is not None]
        return median(values) if values else None


@dataclass
class Polled:
    store: str
    sizes: list[Size] = field(default_factory=list)
    seconds: float = 0.0


def poll(settings: Settings, extent: Extent, say: Callable[[str], None]) -> Polled:
    """Measure.

    Raises: SettingsError when the store cannot be used; ClientLost when the web server ends or
    answers otherwise.
    """
    began = time.monotonic()
    with place.home() as home, place.store(settings, home) as (url, words):
        found = Polled(words)
        say(f"store: {words}")
        where = Place(home, url, ("", ""))
        file = where.sqlite_file
        with (
            _serving(where) as (pid, port),
            closing(SqliteGauge(file) if file else PostgresGauge(url)) as gauge,
        ):
            asked = _requests(where, port, extent.jobs)
            for connections in extent.connections:
                size = Size(connections)
                found.sizes.append(size)
                for _, kind in _turns(1):
                    _knocked(
                        kind, asked[kind], port, connections, extent.batch_s / 2
                    )  # warm: statements prepared, connections open
                for number, kind in _turns(extent.rounds):
                    if number == len(size.rounds):
                        size.rounds.append({})
                    size.rounds[number][kind] = _batch(
                        kind, asked[kind], pid, port, gauge, connections, extent.batch_s
                    )
                say(f"{time.monotonic() - began:.0f} s: {connections} connections")
    found.seconds = time.monotonic() - began
    return found


def _turns(rounds: int) -> Iterator[tuple[int, str]]:
    """Each kind in each round; their order changes."""
    for number in range(rounds):
        yield from ((number, kind) for kind in ((NOOP, POLL) if number % 2 == 0 else (POLL, NOOP)))


@contextmanager
def _serving(where: Place) -> Iterator[tuple[int, int]]:
    """The web server, ready: (its pid, its port)."""
    port, log = ports.any_free(HOST), where.home / "web.log"
    told = {
        "SUREFOOT_SECRET": secrets.token_urlsafe(32),
        "SUREFOOT_LOG_FORMAT": "text",
        "SUREFOOT_KEY_RATE": "0",
    }
    env = fleet.environment(where, events=False) | told
    with log.open("wb") as said:
        process = subprocess.Popen(
            leashed(commands.web(HOST, port)),
            env=env,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + READY_S
        while not probes.answers(f"http://{HOST}:{port}/readyz"):
            if process.poll() is not None or time.monotonic() > until:
                raise fleet.ClientLost(
                    f"the web server does not answer. {log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(LOOK_S)
        yield process.pid, port
    except ServerLost as error:
        raise fleet.ClientLost(
            f"the web server is lost: {error}. {log.read_text(errors='replace')[-2000:]}"
        ) from error
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _requests(where: Place, port: int, jobs: int) -> dict[str, list[bytes]]:
    """What each kind sends, in turn: a poll for each of so many jobs, with the tag of the job as it
    stands.
    """
    db = open_engine(where.store_url)
    try:
        _, key = keys.create(db, name="bench")
        with closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
            bearer = {"Authorization": f"Bearer {key}"}
            body = json.dumps({"saga": "bench_one_lane", "input": {}})
            made = [
                _asked(connection, "POST", f"{API}/jobs", bearer, body)[0]["id"]
                for _ in range(jobs)
            ]
            transaction(
                db,
                lambda tx: tx.execute(
                    text("UPDATE surefoot_operations SET fence = 1 WHERE rank = 0")
                ),
            )
            tags = [_asked(connection, "GET", f"{API}/jobs/{job}", bearer)[1] for job in made]
    finally:
        db.dispose()
    host = f"{HOST}:{port}"
    polls = [
        request(
            f"{API}/jobs/{job}", host, bearer | {"If-None-Match": tag, "Accept": "application/json"}
        )
        for job, tag in zip(made, tags, strict=True)
    ]
    return {NOOP: [request("/livez", host, {"Accept": "application/json"})], POLL: polls}


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str | None = None,
) -> tuple[dict[str, Any], str]:
    """(the answer's body, its tag)."""
    connection.request(method, path, body, headers | {"Content-Type": "application/json"})
    response = connection.getresponse()
    raw = response.read()
    if response.status >= 400:
        raise fleet.ClientLost(
            f"{method} {path} was answered {response.status}: {raw[:500].decode(errors='replace')}"
        )
    return dict(json.loads(raw)), response.headers.get("ETag", "")


def _batch(
    kind: str,
    requests: list[bytes],
    pid: int,
    port: int,
    gauge: PostgresGauge | SqliteGauge,
    connections: int,
    seconds: float,
) -> Batch:
    def read() -> tuple[float, float | None, float, float]:
        database = gauge.cpu_s()
        return (
            tree_cpu_s(pid),
            database,
            machine_busy_s(),
            tree_cpu_s(os.getpid()) + (database or 0.0),
        )

    before = read()
    found = _knocked(kind, requests, port, connections, seconds)
    after = read()
    web, busy, ours = (after[n] - before[n] for n in (0, 2, 3))  # type: ignore[operator]
    database = None if before[1] is None or after[1] is None else after[1] - before[1]
    each = 1000 / found.answers
    others = max(0.0, busy - ours) / found.seconds
    return Batch(
        found.answers / found.seconds,
        web * each,
        None if database is None else database * each,
        others,
    )


def _knocked(
    kind: str, requests: list[bytes], port: int, connections: int, seconds: float
) -> Knocked:
    found = knock(HOST, port, requests, connections, seconds)
    if set(found.statuses) != {STATUS[kind]}:
        raise fleet.ClientLost(
            f"{kind}: only {STATUS[kind]} was expected, and these came: {dict(found.statuses)}"
        )
    return found


# --- what it says ---------------------------------------------------------------------------------
def as_json(polled: Polled) -> dict[str, Any]:
    """The document of `--polling --json`.

    `ratio`: [median, least, most] of the rounds, by rate and by the web process's time.
    """
    return {
        "seconds": round(polled.seconds, 1),
        "store": polled.store,
        "aim": AIM,
        "sizes": [
            {
                "connections": size.connections,
                "rounds": len(size.rounds),
                "ratio": {
                    name: _told(spread(size.ratios(figure)))
                    for name, figure in (("rate", "per_s"), ("cpu", "web_ms"))
                },
                **{
                    kind: {
                        name: _rounded(size.median(kind, name))
                        for name in ("per_s", "web_ms", "database_ms", "others_cpus")
                    }
                    for kind in (NOOP, POLL)
                },
            }
            for size in polled.sizes
        ],
    }


def _told(found: Spread) -> list[float]:
    return [round(value, 3) for value in (found.median, found.low, found.high)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def show(polled: Polled) -> None:
    """A table for people."""
    table = Table(
        box=box.SIMPLE, title="A poll that finds nothing new, beside a request that does nothing"
    )
    headings = (
        "connections",
        "no-op/s",
        "poll/s",
        "ratio (min-max)",
        "no-op CPU ms",
        "poll CPU ms",
        "database",
        "ratio (min-max)",
        "others' CPUs",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for size in polled.sizes:

        def told(kind: str, figure: str, digits: int, size: Size = size) -> str:
            value = size.median(kind, figure)
            return "-" if value is None else f"{value:.{digits}f}"

        rate, cpu = (
            "{:.2f} ({:.2f}-{:.2f})".format(*_told(spread(size.ratios(figure))))
            for figure in ("per_s", "web_ms")
        )
        figures = (
            told(NOOP, "web_ms", 3),
            told(POLL, "web_ms", 3),
            told(POLL, "database_ms", 3),
            cpu,
            told(POLL, "others_cpus", 2),
        )
        table.add_row(
            str(size.connections), told(NOOP, "per_s", 0), told(POLL, "per_s", 0), rate, *figures
        )
    console = Console(width=WIDTH)
    console.print(table)
    console.print(f"Aimed at: {AIM:g} of a no-op's rate. {polled.store}; {polled.seconds:.0f} s.")
