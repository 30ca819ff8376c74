"""The processes: a worker for each team, with and without events, and two clients.

Started by name, ended with the bench.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from surefoot import app
from surefoot.app.bench.place import Place
from surefoot.app.bench.rows import Row
from surefoot.app.bench.tally import FOLDER
from surefoot.app.environment import for_children
from surefoot.app.errors import SurefootError
from surefoot.app.supervisor import commands
from surefoot.app.supervisor.child import Child
from surefoot.app.supervisor.leash import leashed
from surefoot.app.supervisor.part import Part
from surefoot.app.supervisor.supervisor import Supervisor

CHILDREN = 2  # worker processes of every team
ANSWER_S = 120.0  # a batch is over by then, or the client is lost
LOOK_S = 0.05
STOP_S = 5.0
LANES = "bench_a,bench_b,bench_c"
MODULES = {
    "engine": "surefoot.workers.bench.engine",
    "plain": "surefoot.workers.bench.plain_worker",
}
NOT_OURS = ("SUREFOOT_",)  # what a shell says about these must not decide what is measured


class ClientLost(SurefootError):
    """A process of the bench ended, or did not answer."""


def environment(place: Place, *, events: bool) -> dict[str, str]:
    """What every process of the bench is told."""
    source = Path(app.__file__).parents[2]
    kept = {name: value for name, value in for_children().items() if not name.startswith(NOT_OURS)}
    return {
        **kept,
        **commands.WORKER_ENV,
        "PYTHONPATH": os.pathsep.join([str(source), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "SUREFOOT_HOME": str(place.home),
        "DATABASE_URL": place.store_url,
        "BROKER_URL": place.broker_urls[int(events)],
        "SUREFOOT_SAGAS": "surefoot.workers.bench.sagas",
        "SUREFOOT_LANES": LANES,
        "SUREFOOT_BENCH_EVENTS": str(int(events)),
        FOLDER: str(place.tally),
    }


def parts(place: Place, rows: Iterable[Row]) -> list[Part]:
    """The workers that these rows need.

    Ready when their log says so: the bench holds no connection to a SQLite file.
    """
    found: dict[str, Part] = {}
    for row in rows:
        env = environment(place, events=row.events)
        if row.team == "loop":
            for number in range(1, CHILDREN + 1):
                name = f"loop-{number}"
                found[name] = _part(
                    place, name, commands.python("surefoot.workers.bench.loop"), env
                )
        else:
            words = list(commands.worker(f"bench-{row.workers}-{os.getpid()}", CHILDREN))
            words[words.index("surefoot.workers.celery_app")] = MODULES[row.team]
            # a heartbeat event is of the time that passes, and would be counted as a command of
            # some job
            found[row.workers] = _part(place, row.workers, (*words, "--without-heartbeat"), env)
    return list(found.values())


def _part(place: Place, name: str, command: tuple[str, ...], env: Mapping[str, str]) -> Part:
    log = place.home / "log" / f"{name}.log"
    return Part(
        name=name,
        command=command,
        stop_rank=1,
        env=env,
        ready=lambda pid: b" ready." in b" " + log.read_bytes(),
    )


def pids_of(children: Iterable[Child], workers: str) -> list[int]:
    """The leaders of one team's workers."""
    names = {workers} | {f"{workers}-{number}" for number in range(1, CHILDREN + 1)}
    return [child.pid for child in children if child.part.name in names and child.pid is not None]


class Client:
    """One client process, on a leash, asked by lines."""

    def __init__(self, place: Place, *, events: bool) -> None:
        self._log = place.home / "log" / f"client-{int(events)}.log"
        self._buffer = b""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                leashed(commands.python("surefoot.workers.bench.client")),
                env=environment(place, events=events),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self, supervisor: Supervisor, what: str, jobs: int, how: str, look: Any = None
    ) -> dict[str, Any]:
        """Let it submit `jobs` jobs. `look()` is called meanwhile, some twenty times a second.

        Raises: ClientLost; Stopped when a signal came.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({"what": what, "jobs": jobs, "how": how}).encode() + b"\n"
        )
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
            for _ in range(int(ANSWER_S / LOOK_S)):
                supervisor.until_ready()  # a look at all parts, and at what Ctrl-C said
                if look is not None:
                    look()
                if selector.select(LOOK_S) and (line := self._read()) is not None:
                    return dict(json.loads(line))
        raise ClientLost(
            f"the bench's client did not answer within {ANSWER_S:g} s. {self.last_words()}"
        )

    def _read(self) -> bytes | None:
        assert self._process.stdout is not None
        more = os.read(self._process.stdout.fileno(), 1 << 16)
        if not more:
            raise ClientLost(f"the bench's client ended. {self.last_words()}")
        self._buffer += more
        line, found, rest = self._buffer.partition(b"\n")
        if not found:
            return None
        self._buffer = rest
        return line

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """End it: it leaves when its input ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
