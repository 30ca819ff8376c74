"""What grows with the store: does a job, a step, a member or a sweep cost the same when there is a
thousand times as much?

Every size has all it needs before anything is measured, a store of its own where it is the store
that grows. Then all sizes of a question are measured in turn, round after round, and each is held
against the first one of the same round. Everything runs in one process,
`surefoot.workers.bench.growth`: what is counted is the engine and its database, not a broker.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from surefoot.app.bench import fleet, place
from surefoot.app.bench.grown import Grown
from surefoot.app.bench.place import Place
from surefoot.app.config import Settings
from surefoot.app.supervisor import commands
from surefoot.app.supervisor.leash import leashed

STOP_S = 10.0
SMALL = "small"  # the store of steps and forks: what grows is the job


@dataclass(frozen=True)
class Extent:
    """How far to go.

    `rows`: finished jobs at most; `members`: of the widest fork; `steps`: of the longest chain;
    `parked`: waiting jobs; `jobs`: of a batch; `seconds`: what does not fit in is left out, and
    said so."""

    rows: int = 1_000_000
    members: int = 10_000
    steps: int = 300
    parked: int = 100_000
    jobs: int = 120
    rounds: int = 6
    seconds: float = 900.0

    def finished_sizes(self) -> list[int]:
        return growing(1000, self.rows // 10, self.rows)

    def parked_sizes(self) -> list[int]:
        return growing(0, self.parked)

    def stores(self) -> list[str]:
        """The name of every store that is needed."""
        finished = [store_of("finished", size) for size in self.finished_sizes()]
        return [SMALL, *(store_of("parked", size) for size in self.parked_sizes()), *finished]


def growing(*sizes: int) -> list[int]:
    """Growing sizes, each once; what a small extent makes smaller than one before is left out."""
    most = sizes[-1]
    return sorted({size for size in sizes if size <= most})


def store_of(row: str, size: int) -> str:
    """The name of the store of one size."""
    return f"{row}_{size}"


def grow(settings: Settings, extent: Extent, say: Callable[[str], None]) -> Grown:
    """Measure.

    Raises: SettingsError when the store cannot be used; ClientLost. Nothing is left behind.
    """
    started = time.monotonic()
    with place.home() as home, ExitStack() as held:
        stores = {
            name: held.enter_context(place.store(settings, home, name)) for name in extent.stores()
        }
        url, words = stores[SMALL]
        found = Grown(words)
        say(f"store: {words}; at most {extent.seconds:g} s")
        for told in _asked(
            Place(home, url, ("", "")), extent, {name: store[0] for name, store in stores.items()}
        ):
            if doing := found.note(told):
                say(f"{time.monotonic() - started:.0f} s: {doing}")
    found.seconds = time.monotonic() - started
    return found


def _asked(where: Place, extent: Extent, stores: dict[str, str]) -> Iterator[dict[str, Any]]:
    log, asked = (
        where.home / "growth.log",
        _written(where.home / "growth.json", {"extent": asdict(extent), "stores": stores}),
    )
    with log.open("wb") as errors:
        process = subprocess.Popen(
            leashed((*commands.python("surefoot.workers.bench.growth"), str(asked))),
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
                raise fleet.ClientLost(
                    f"the bench's process ended. {log.read_text(errors='replace')[-2000:]}"
                )
        finally:
            process.stdout and process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()


def _written(file: Path, told: dict[str, Any]) -> Path:
    """In a folder that only we read: a store's URL may hold a password."""
    file.write_text(json.dumps(told))
    return file
