"""Attempts whose lease has run out: the worker died, froze, or lost the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surefoot.app.engine.jobs import operations
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.store import operation_reads
from surefoot.app.store.rows.operations import LeaseRow


@dataclass
class ExpiredAttempts:
    """Ends each, as its step's policies say; what may be repeated is queued again."""

    relay: RelayContext
    name: ClassVar[str] = "expired"

    def run_once(self) -> int:
        """Returns how many attempts it ended."""
        rows = self.relay.find(self.name, operation_reads.expired)
        return self.relay.isolated.each(self.name, rows, self._expire)

    def _expire(self, row: LeaseRow) -> int:
        relay = self.relay
        ended = operations.expire(relay.db, relay.settings, row.id, row.job_id, row.token)
        relay.publish(ended.plan)
        return int(ended.applied)
