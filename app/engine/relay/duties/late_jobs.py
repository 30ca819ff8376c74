"""Jobs that take longer than their saga allows (`sla=`): acted upon by the clock, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surefoot.app.engine.operators import sla
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.store import reconciliations
from surefoot.app.store.reconciliations import LATE

RELAY = "relay"  # the actor, since nobody asked for it


@dataclass
class LateJobs:
    """Every SUREFOOT_RECONCILE_SECONDS, acts on a batch and closes the findings of ended jobs."""

    relay: RelayContext
    name: ClassVar[str] = "late"

    def run_once(self) -> int:
        """Returns how many jobs it acted upon; 0 when it is not due, or another relay does it."""
        relay, settings = self.relay, self.relay.settings
        every_s = settings.reconcile_seconds
        if not every_s:
            return 0
        if not relay.read(self.name, lambda c: reconciliations.is_due(c, LATE, every_s)):
            return 0
        position = relay.write(self.name, lambda tx: reconciliations.begin(tx, LATE, every_s))
        if position is None:
            return 0
        acted, more = sla.act_on_batch(relay.db, settings, relay.publisher, RELAY, relay.isolated)
        further = sla.close_landed(relay.db, position, settings.reconcile_rows, RELAY)
        relay.write(self.name, lambda tx: reconciliations.go_on_at(tx, LATE, position, further))
        if more:
            relay.write(self.name, lambda tx: reconciliations.hasten(tx, (LATE,), every_s))
        return len(acted)
