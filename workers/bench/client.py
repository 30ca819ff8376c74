"""`python -m surefoot.workers.bench.client`: submits what it is told to, and says how it went.

A line of JSON in, `{"what", "jobs", "how"}`, a line out, `{"submitted", "finished", "rescued",
"wall_s", "submit_s", "done_s"}`.
`how`: "load" submits all and waits for all; "idle" waits for each before the next one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from surefoot.workers.bench import counting
from surefoot.workers.bench.drivers import Driver, driver

LOAD_LOOK_S = 0.02  # asking the store how many are done costs it something: rarely
IDLE_LOOK_S = 0.001
STALL_S = 15.0  # nothing ended for so long: a message was lost. A busy machine alone takes seconds
STALLS = 5


def load(kind: Driver, jobs: int) -> dict[str, Any]:
    """All at once."""
    kind.forget()
    started = time.perf_counter()
    submit_s = [_timed(kind.submit) for _ in range(jobs)]
    finished, rescued = _wait(kind, jobs, LOAD_LOOK_S)
    wall_s = time.perf_counter() - started
    return {
        "submitted": jobs,
        "finished": finished,
        "rescued": rescued,
        "wall_s": wall_s,
        "submit_s": submit_s,
        "done_s": [],
    }


def idle(kind: Driver, jobs: int) -> dict[str, Any]:
    """One after the other, each from its submission to its end."""
    submit_s, done_s, finished, rescued = [], [], 0, 0
    started = time.perf_counter()
    for _ in range(jobs):
        kind.forget()
        before = time.perf_counter()
        submit_s.append(_timed(kind.submit))
        ended, sent_again = _wait(kind, 1, IDLE_LOOK_S)
        done_s.append(time.perf_counter() - before)
        finished, rescued = finished + ended, rescued + sent_again
    wall_s = time.perf_counter() - started
    return {
        "submitted": jobs,
        "finished": finished,
        "rescued": rescued,
        "wall_s": wall_s,
        "submit_s": submit_s,
        "done_s": done_s,
    }


def _timed(call: Any) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def _wait(kind: Driver, jobs: int, look_s: float) -> tuple[int, int]:
    """(how many ended, how many messages had to be sent again): all of them, or what there is when
    nothing moves any more.
    """
    done, rescued, moved_at, stalls = kind.done(), 0, time.perf_counter(), 0
    while done < jobs and stalls < STALLS:
        time.sleep(look_s)
        now_done = kind.done()
        if now_done > done:
            done, moved_at = now_done, time.perf_counter()
        elif time.perf_counter() - moved_at > STALL_S:
            rescued += kind.rescue()
            moved_at, stalls = time.perf_counter(), stalls + 1
    return done, rescued


def answers(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """An answer for each line."""
    drivers: dict[str, Driver] = {}
    for line in lines:
        asked = json.loads(line)
        what = asked["what"]
        if what not in drivers:
            drivers[what] = driver(what)
        yield (idle if asked["how"] == "idle" else load)(drivers[what], asked["jobs"])


def main() -> None:
    """Until standard input ends."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(
            sys.stderr.fileno(), sys.stdout.fileno()
        )  # answers only: whatever else is printed goes to the log
        counting.start()
        counting.watch_the_store()
        for answer in answers(iter(sys.stdin.readline, "")):
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
