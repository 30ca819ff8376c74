"""The relay deletes sessions that have long ended, and acts that are older than they are kept.

Nothing waits for it, so it comes once in a while, and takes a few batches each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.store.retention import DAY_S, delete_acts, delete_sessions
from surefoot.app.store.session import transaction

EVERY_S = 600.0  # of this relay's own clock; the first time so long after its start
BATCHES = 5  # of SUREFOOT_SWEEP_ROWS each time


class Retention:
    """One relay's part. `due_at`: when it comes next, on the monotonic clock."""

    name: ClassVar[str] = "deleted"

    def __init__(self, db: Engine, settings: Settings) -> None:
        self._db, self._rows = db, settings.sweep_rows
        # a session has ended when it is as old as one can get; from then on its days are counted
        sessions_s = settings.session_seconds + settings.session_days * DAY_S
        self._duties: list[Callable[[Connection], int]] = [
            partial(delete_sessions, older_than_s=sessions_s, limit=self._rows)
        ]
        if settings.acts_days:
            acts_s = settings.acts_days * DAY_S
            self._duties.append(partial(delete_acts, older_than_s=acts_s, limit=self._rows))
        self.due_at = time.monotonic() + EVERY_S

    def run_once(self) -> int:
        """Returns how many rows it deleted; 0 when it is not due."""
        if time.monotonic() < self.due_at:
            return 0
        self.due_at = time.monotonic() + EVERY_S
        return sum(map(self._run, self._duties))

    def _run(self, duty: Callable[[Connection], int]) -> int:
        """Delete batch by batch, each in a transaction of its own, at most BATCHES."""
        count = 0
        for _ in range(BATCHES):
            deleted = transaction(self._db, duty, name="relay.deleted")
            count += deleted
            if deleted < self._rows:
                break
        return count
