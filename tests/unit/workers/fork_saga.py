"""A saga for tests of the workers: a fork whose branches are chains, across two lanes; what its steps do is said in a file.

`rules.json` under SUREFOOT_HOME: {"step" or "step.undo": {"sleep": s, "raises": "rejected"|"error"|"memory"|"exit",
"stubborn": s (deaf to its limit), "checks": s (with a sign of progress now and then), "not_yet": s (to be asked again then),
"eats": MiB (that stay in its process), "breaks": "folder"|"process", "gate": name of a file there (it goes on when a test has
made it), "times": n (attempts that do so)}}. Only `left` has a short limit: whatever else a test meets
at work is at it however late the test comes.
Every call notes `start` and `end` in `log`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from surefoot import NotYet, Rejected, Retry, Saga
from tests.support.processes import append_line


class Nothing(BaseModel):
    note: str = ""


fork = Saga("fork", version=1, input=Nothing, examples=[Nothing()])
QUICK = Retry(limit=3, backoff="100ms", cap="200ms")
LIMIT, SHORT = "60s", "2s"
RAISES: dict[str, Any] = {
    "rejected": Rejected,
    "error": RuntimeError,
    "memory": MemoryError,
    "exit": SystemExit,
}


EATEN: list[bytes] = []


def home() -> Path:
    return Path(os.environ["SUREFOOT_HOME"])


def note(line: str) -> None:
    append_line(home() / "log", line)


def leave_a_process() -> None:
    (home() / "left").write_text(str(subprocess.Popen(["sleep", "600"]).pid))


BREAKS: dict[str, Any] = {"folder": lambda: os.chdir("/"), "process": leave_a_process}


def act(ctx: Any) -> Any:
    name = ctx.step if ctx.kind == "action" else f"{ctx.step}.{ctx.kind}"
    path = home() / "rules.json"
    rule = json.loads(path.read_text()).get(name, {}) if path.exists() else {}
    if ctx.attempt > rule.get("times", 1000):
        rule = {}
    note(f"start {name} {ctx.job_id} {os.getpid()} {ctx.attempt}")
    if "stubborn" in rule:  # deaf to the soft limit
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(rule["stubborn"])
    for _ in range(
        int(rule.get("checks", 0) * 2)
    ):  # so many seconds, asking now and then whether to go on
        time.sleep(0.5)
        ctx.check()
    time.sleep(rule.get("sleep", 0))
    while "gate" in rule and not (home() / rule["gate"]).exists():
        time.sleep(0.02)
    EATEN.append(b"\1" * (int(rule.get("eats", 0)) << 20))
    if "breaks" in rule:
        BREAKS[rule["breaks"]]()
    if "raises" in rule:
        raise RAISES[rule["raises"]]("as told")
    if "not_yet" in rule:
        return NotYet(rule["not_yet"])
    note(f"end {name} {ctx.job_id} {os.getpid()} {ctx.attempt}")
    return name


@fork.step(lane="east", retry=QUICK, timeout=LIMIT)
def first(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@first.compensate(fidelity="exact")
def undo_first(ctx: Any, o: Nothing, own: str | None) -> str:
    return act(ctx)


@fork.step(lane="east", after=[first], retry=QUICK, timeout=SHORT)
def left(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@left.compensate(fidelity="exact")
def undo_left(ctx: Any, o: Nothing, own: str | None) -> str:
    return act(ctx)


@fork.step(lane="west", after=[left], undo=None, retry=QUICK, timeout=LIMIT)
def left_too(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@fork.step(lane="west", after=[first], retry=QUICK, timeout=LIMIT)
def right(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@right.compensate(fidelity="exact")
def undo_right(ctx: Any, o: Nothing, own: str | None) -> str:
    return act(ctx)


@fork.step(lane="east", after=[left_too, right], pivot=True, retry=QUICK, timeout=LIMIT)
def join(ctx: Any, o: Nothing) -> str:
    return act(ctx)


@fork.step(lane="west", retry=QUICK, timeout="60s", heartbeat_timeout="3s")
def last(ctx: Any, o: Nothing) -> str:
    return act(ctx)
