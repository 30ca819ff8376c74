"""run.json under the home: what `surefoot up` chose, for other commands on the same home.

So that `surefoot submit` in a second terminal finds the broker, the store and the page without
being told. It stays after the end: a job submitted then is kept in the store and starts with the
next `surefoot up`. The broker's URL has a password that is this home's own, so that it opens no
other server that later has the same port.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from surefoot.app import environment
from surefoot.app.supervisor.home import write_private

NAME = "run.json"


@dataclass(frozen=True)
class RunFile:
    """`env`: settings by the name of their environment variable; `groups`: the process groups that
    were started.
    """

    pid: int
    web_url: str
    flower_url: str
    broker_port: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()


def save(home: Path, run: RunFile) -> None:
    """Write it, readable by its owner only: keys are in it."""
    write_private(home / NAME, json.dumps(asdict(run), indent=2) + "\n")


def load(home: Path) -> RunFile | None:
    """What was written last; None when nothing was, or it cannot be read."""
    try:
        found: dict[str, Any] = json.loads((home / NAME).read_text())
        return RunFile(**{**found, "groups": tuple(found.get("groups", ()))})
    except (OSError, ValueError, TypeError):
        return None


def apply(home: Path, environ: MutableMapping[str, str] = os.environ) -> RunFile | None:
    """Take its settings where the environment says nothing. Before `settings()` is first called."""
    run = load(home)
    for name, value in (run.env if run else {}).items():
        field = name.removeprefix(environment.PREFIX).lower()
        if name.startswith(environment.PREFIX) and not (
            environ.get(name) or environment.famous(field, environ)
        ):
            environ[name] = value
            environment.borrowed[name] = str(home / NAME)
    return run
