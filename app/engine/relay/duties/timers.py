"""Operations that waited for a time: a back-off, a poll, a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surefoot.app.engine.jobs.dispatch import single_messages
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.store import message_reads, operation_writes

BATCHES = 5  # of SUREFOOT_SWEEP_ROWS in one round


@dataclass
class Timers:
    """Queues and publishes what is due, batch by batch."""

    relay: RelayContext
    name: ClassVar[str] = "woken"

    def run_once(self) -> int:
        """Returns how many operations it queued."""
        woken, most = 0, self.relay.settings.sweep_rows
        for _ in range(BATCHES):
            ids = self._wake(most)
            woken += len(ids)
            if len(ids) < most:
                break
        return woken

    def _wake(self, most: int) -> list[str]:
        relay = self.relay
        ids = relay.write("due", lambda tx: operation_writes.wake_due(tx, most))
        if ids:
            relay.publish(
                single_messages(relay.read("due", lambda c: message_reads.to_ring(c, ids)))
            )
        return ids
