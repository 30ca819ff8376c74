"""The relay's round: duties that find what a crash or the broker left behind, and heal it.

The broker may lose, repeat or reorder at will. Each duty finds its rows by a partial index and
heals them with the ordinary changes. Duties are isolated from each other (`engine.isolation`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.delivery.broker import BrokerProbe
from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs.dispatch import Publishes
from surefoot.app.engine.relay.context import Duty, RelayContext
from surefoot.app.engine.relay.duties.broker_lost import BrokerLost
from surefoot.app.engine.relay.duties.dead_letter_queue import Mirror
from surefoot.app.engine.relay.duties.deadlines import Deadlines, UndoDeadlines
from surefoot.app.engine.relay.duties.expired import ExpiredAttempts
from surefoot.app.engine.relay.duties.late_jobs import LateJobs
from surefoot.app.engine.relay.duties.lost_messages import Lost
from surefoot.app.engine.relay.duties.redrives import Redrives
from surefoot.app.engine.relay.duties.retention import Retention
from surefoot.app.engine.relay.duties.stranded import Idle, Stranded
from surefoot.app.engine.relay.duties.timers import Timers
from surefoot.app.engine.relay.duties.unclaimed import Unclaimed
from surefoot.app.engine.relay.duties.unsent import Unsent
from surefoot.app.errors import StoreUnavailable
from surefoot.app.store import session

T = TypeVar("T")
log = structlog.get_logger("surefoot.sweep")


def duties_of(relay: RelayContext) -> list[Duty]:
    """A relay's duties, in the order of a round."""
    return [
        ExpiredAttempts(relay),
        Timers(relay),
        Deadlines(relay),
        Unclaimed(relay),
        Stranded(relay),
        Idle(relay),
        UndoDeadlines(relay),
        Redrives(relay),
        LateJobs(relay),
        BrokerLost(relay.db, relay.broker),
        Unsent(relay),
        Lost(relay.db, relay.settings, relay.publisher, relay.broker),
        Retention(relay.db, relay.settings),
    ]


@dataclass
class Sweeper:
    """One relay's rounds. `strict`: let mistakes through, for tests and the simulation."""

    db: Engine
    settings: Settings
    publisher: Publishes
    broker: BrokerProbe
    mirror: Mirror | None = None
    strict: bool = False
    found: dict[str, int] = field(default_factory=dict)
    relay: RelayContext = field(init=False)
    duties: list[Duty] = field(init=False)

    def __post_init__(self) -> None:
        self.relay = RelayContext(
            self.db, self.settings, self.publisher, self.broker, Isolated(self.strict)
        )
        self.duties = duties_of(self.relay)
        if self.mirror is not None:
            self.duties.append(self.mirror)

    @property
    def isolated(self) -> Isolated:
        return self.relay.isolated

    def run_once(self) -> dict[str, int]:
        """One round.

        Returns how many of each kind were found; `isolated.failed`: what was left out.

        Raises: StoreUnavailable.
        """
        self.found, self.isolated.failed = {}, {}
        for duty in self.duties:
            count = self.isolated.whole(duty.name, duty.run_once, self._store_answers)
            if count:
                self.found[duty.name] = count
        if self.found:
            log.info("swept", **self.found)
        return self.found

    @property
    def held_back(self) -> bool:
        """Whether there are messages that wait for room in their lane (`take_turns`)."""
        return self.duty(Unsent).held_back

    def take_turns(self) -> int:
        """Publish what there is room for now, between two rounds. Returns how many operations."""
        unsent = self.duty(Unsent)
        return self.isolated.whole(unsent.name, unsent.run_once, self._store_answers)

    def duty(self, kind: type[T]) -> T:
        """The duty of this class."""
        return next(duty for duty in self.duties if isinstance(duty, kind))

    def _store_answers(self) -> bool:
        try:
            self.relay.read("time_of", session.time_of)
        except StoreUnavailable:
            return False
        return True
