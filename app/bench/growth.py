"""What grows with the store: does a job, a step, a member or a sweep cost the same when there is a thousand times as much?

Everything runs in one process, on a store of its own: what is counted is the engine and its database, not a broker. The counting
process is `workers.bench.growth`; here are what it is asked, what its figures mean, and how they are shown.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from app.bench import fleet, place
from app.bench.place import Place
from app.config import Settings
from app.supervisor import commands
from app.supervisor.leash import leashed

STOP_S = 10.0
WIDTH = 132


@dataclass(frozen=True)
class Extent:
    """How far to go. `rows`: finished jobs at most; `members`: of the widest fork; `steps`: of the longest chain;
    `parked`: waiting jobs; `jobs`: of a batch; `seconds`: what does not fit in is left out, and said so."""

    rows: int = 1_000_000
    members: int = 10_000
    steps: int = 300
    parked: int = 100_000
    jobs: int = 40
    seconds: float = 900.0


@dataclass(frozen=True)
class Size:
    """One measurement of a row at one size. `values`: named figures, milliseconds, bytes or jobs a second."""

    size: int
    values: dict[str, float]


@dataclass
class Row:
    """One question. `limit`: how often as much the figure of the largest size may be as that of the first; a rate, how much less."""

    name: str
    title: str
    limit: float
    sizes: list[Size] = field(default_factory=list)

    def growth(self, value: str) -> float | None:
        """The last size's figure over the first's."""
        found = [size.values[value] for size in self.sizes if value in size.values]
        return found[-1] / found[0] if len(found) > 1 and found[0] else None


@dataclass
class Grown:
    """Everything that was found."""

    store: str
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)


def grow(settings: Settings, extent: Extent, say: Callable[[str], None]) -> Grown:
    """Measure. Raises: SettingsError when the store cannot be used; ClientLost. Nothing is left behind."""
    started = time.monotonic()
    with place.home() as home, place.store(settings, home) as (url, words):
        found = Grown(words)
        say(f"store: {words}; at most {extent.seconds:g} s")
        for told in _asked(Place(home, url, ("", "")), extent):
            if "left_out" in told:
                found.left_out.append(told["left_out"])
                continue
            row = next((row for row in found.rows if row.name == told["name"]), None)
            if row is None:
                row = Row(told["name"], told["title"], told["limit"])
                found.rows.append(row)
            row.sizes.append(Size(told["size"], told["values"]))
            say(f"{time.monotonic() - started:.0f} s: {row.title}, {told['size']:,}")
    found.seconds = time.monotonic() - started
    return found


def _asked(where: Place, extent: Extent) -> Iterator[dict[str, Any]]:
    log = where.home / "growth.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            leashed((*commands.python("workers.bench.growth"), json.dumps(asdict(extent)))),
            env=fleet.environment(where, events=False),
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
            if process.wait(STOP_S):
                raise fleet.ClientLost(f"the bench's process ended. {log.read_text(errors='replace')[-2000:]}")
        finally:
            process.stdout and process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()


def judged(row: Row) -> dict[str, float]:
    """What is held against the row's limit: processor time, a rate turned round, and each sweep's query; figure -> growth."""
    names = ["cpu_all_ms", *sorted({name for size in row.sizes for name in size.values if name.startswith("sweep_")})]
    found = {name: grown for name in names if (grown := row.growth(name)) is not None}
    if row.name == "parked" and (rate := row.growth("per_s")):
        found["per_s"] = 1 / rate
    return found


def as_json(grown: Grown) -> dict[str, Any]:
    """The document of `--growth --json`. `growth`: the largest size's figure over the smallest's, by figure."""
    return {
        "seconds": round(grown.seconds, 1),
        "store": grown.store,
        "left_out": grown.left_out,
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "limit": row.limit,
                "growth": {name: round(value, 3) for name, value in judged(row).items()},
                "sizes": [{"size": size.size, **{name: round(value, 3) for name, value in size.values.items()}} for size in row.sizes],
            }
            for row in grown.rows
        ],
    }


COLUMNS = {"cpu_all_ms": "CPU ms", "database_ms": "database", "wal_bytes": "WAL B", "message_bytes": "message B", "per_s": "a second"}


def show(grown: Grown) -> None:
    """A table for people, and which figures grew by more than their limit."""
    table = Table(box=box.SIMPLE, title="What a job, a step or a member costs, by how many there are")
    for heading in ("", "how many", *COLUMNS.values(), "slowest sweep ms"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for row in grown.rows:
        for number, size in enumerate(row.sizes):
            sweeps = [value for name, value in size.values.items() if name.startswith("sweep_")]
            told = [f"{size.values[name]:.1f}" if name in size.values else "" for name in COLUMNS]
            table.add_row(row.title if number == 0 else "", f"{size.size:,}", *told, f"{max(sweeps):.2f}" if sweeps else "")
    console = Console(width=WIDTH)
    console.print(table)
    for row in grown.rows:
        above = [f"{name} {value:.2f} times" for name, value in judged(row).items() if value > row.limit]
        console.print(f"{row.title}: " + (f"grew by more than {row.limit:g}: {', '.join(above)}." if above else "as good as flat."))
    for left in grown.left_out:
        console.print(f"Left out, for it did not fit in: {left}. --seconds gives more time.")
    console.print(f"{grown.store}; {grown.seconds:.0f} s.")
