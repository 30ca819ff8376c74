"""Counting what this process commits, for one addition in shared memory each.

A worker's main process is left out: its heartbeats belong to the time that passes, not to any job.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

from surefoot.app.bench.tally import Tally
from surefoot.app.store.session import MODE, SINGLE
from surefoot.workers.bench.told import tally_folder

_tally: Tally | None = None


def start(**_: Any) -> None:
    """Count from now on in this process; to be called after the fork."""
    global _tally
    folder = tally_folder()
    if _tally is None and folder is not None:
        _tally = Tally(folder)


def count(name: str) -> None:
    """One more of `name`, if this process counts."""
    if _tally is not None:
        _tally.add(name)


def watch_the_store() -> None:
    """Count each write transaction of the engine: each commit (its reads end with a rollback), and
    each write that commits by itself.
    """
    event.listen(Engine, "commit", _committed)
    event.listen(Engine, "after_cursor_execute", _executed)


def _commits_by_itself(connection: Connection) -> bool:
    return connection.get_execution_options().get(MODE) == SINGLE


def _committed(connection: Connection) -> None:
    if not _commits_by_itself(connection):
        count("commits")


def _executed(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if _commits_by_itself(connection) and not statement.startswith("SELECT"):
        count("commits")
