"""A broker that was away, or came back without our marker, may have lost every message: what was
sent counts as not sent.

Page by page, each in a transaction of its own, and no more of them in one round than leave time for
the other duties: with a million waiting operations the rest is for the next rounds. The marker is
left when all is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from sqlalchemy import Engine

from surefoot.app.delivery.broker import BrokerProbe
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.store import message_writes
from surefoot.app.store.host import host_of
from surefoot.app.store.session import reading, time_of, transaction

PAGE_ROWS = 1000
PAGES = 20  # of one round


@dataclass
class BrokerLost:
    """One relay's look at the broker.

    `until`: what was sent by then is being forgotten; None when nothing is.
    """

    db: Engine
    broker: BrokerProbe
    was_away: bool = False
    until: datetime | None = None
    name: ClassVar[str] = "broker_lost"

    def run_once(self) -> int:
        """Look, and forget at most PAGES pages. Returns how many operations will be rung again."""
        try:
            return self.go_on(self.broker.marker() is not None)
        except BrokerUnavailable:
            self.was_away, self.until = True, None
            return 0

    def go_on(self, kept: bool) -> int:
        """`kept`: the broker has our marker. Raises: BrokerUnavailable."""
        if kept and not self.was_away and self.until is None:
            return 0
        if self.until is None:
            with reading(self.db, name="relay.broker_lost") as connection:
                self.until = time_of(connection)
        forgotten = 0
        for _ in range(PAGES):
            until = self.until
            page = transaction(
                self.db,
                lambda tx: message_writes.forget_sent(tx, until, PAGE_ROWS),  # noqa: B023 - called at once
                name="relay.broker_lost",
            )
            forgotten += page
            if page < PAGE_ROWS:
                if not kept:
                    self.broker.set_marker(host_of(self.db).new_id())
                self.was_away, self.until = False, None
                break
        return forgotten


def republish_if_broker_lost(db: Engine, broker: BrokerProbe) -> int:
    """The whole of it at once.

    Returns: how many operations will be rung again. Raises: BrokerUnavailable.
    """
    look = BrokerLost(db, broker)
    kept = broker.marker() is not None
    forgotten = look.go_on(kept)
    while look.until is not None:
        forgotten += look.go_on(kept)
    return forgotten
