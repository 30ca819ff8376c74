"""Operations that lie ready and no worker takes: recorded, or given up where `queue_timeout=` says
so.

That no worker takes them is our fault, not the business's: workers may have been away for an hour,
or the machine asleep. So an operation whose saga says nothing waits on. Its row then has no clock
any more (`claim_deadline_at` null): `why`, doctor and a metric tell of it until a worker takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import structlog
from sqlalchemy import Connection

from surefoot.app.engine.jobs import operations
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.store import definitions, operation_reads, operation_writes
from surefoot.app.store.rows.operations import UnclaimedRow

log = structlog.get_logger("surefoot.sweep")


@dataclass
class Unclaimed:
    """Fails the operations whose saga gives them up, and notes those that wait on."""

    relay: RelayContext
    name: ClassVar[str] = "nobody_came"

    def run_once(self) -> int:
        """Returns how many operations it looked at."""
        relay = self.relay
        rows = relay.find(self.name, operation_reads.nobody_came)
        waiting: list[str] = []

        def look(row: UnclaimedRow) -> int:
            if relay.read(self.name, lambda c: _gives_up(c, row)):
                # each by itself, under its job's lock
                ended = operations.nobody_came(relay.db, relay.settings, row.id, row.job_id)
                relay.publish(ended.plan)
            else:
                waiting.append(row.id)
            return 1

        looked_at = relay.isolated.each(self.name, rows, look)
        if waiting:
            self._note(waiting)
        return looked_at

    def _note(self, ids: list[str]) -> None:
        noted = self.relay.write(self.name, lambda tx: operation_writes.note_nobody_came(tx, ids))
        if noted:
            log.warning("nobody_comes", operations=noted)


def _gives_up(connection: Connection, row: UnclaimedRow) -> bool:
    return (
        definitions.graph_of(connection, row.digest).by_name[row.step].limits_of(row.kind).gives_up
    )
