"""Jobs that take longer than their saga allows (`sla=`): acted upon by the clock, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surefoot.app.engine.operators import sla
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.store import reconciliations
from surefoot.app.store.reconciliations import LATE
from surefoot.app.store.session import transaction

RELAY = "relay"  # the actor, since nobody asked for it


@dataclass
class LateJobs:
    """Every SUREFOOT_RECONCILE_SECONDS, acts on a batch and closes the findings of ended jobs."""

    relay: RelayContext
    name: ClassVar[str] = "late"

    def run_once(self) -> int:
        """Returns how many jobs it acted upon; 0 when it is not due, or another relay does it."""
        db, settings = self.relay.db, self.relay.settings
        every_s, transaction_name = settings.reconcile_seconds, f"relay.{self.name}"
        if not every_s:
            return 0
        if not self.relay.read(self.name, lambda c: reconciliations.is_due(c, LATE, every_s)):
            return 0
        position = transaction(
            db, lambda tx: reconciliations.begin(tx, LATE, every_s), name=transaction_name
        )
        if position is None:
            return 0
        publisher, isolated = self.relay.publisher, self.relay.isolated
        acted, more = sla.act_on_batch(db, settings, publisher, RELAY, isolated)
        further = sla.close_landed(db, position, settings.reconcile_rows, RELAY)
        transaction(
            db,
            lambda tx: reconciliations.go_on_at(tx, LATE, position, further),
            name=transaction_name,
        )
        if more:
            transaction(
                db,
                lambda tx: reconciliations.hasten(tx, (LATE,), every_s),
                name=transaction_name,
            )
        return len(acted)
