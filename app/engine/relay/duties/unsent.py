"""Ready operations whose message has not left: a crash after the commit, a broker that was away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from surefoot.app.engine.jobs.dispatch import publish_plan, single_messages
from surefoot.app.engine.jobs.fairness import InTurn, Turns
from surefoot.app.engine.relay.context import RelayContext


@dataclass
class Unsent:
    """Publishes them, the tenants in turn."""

    relay: RelayContext
    turns: Turns = field(init=False)
    name: ClassVar[str] = "unsent"

    def __post_init__(self) -> None:
        self.turns = Turns(self.relay.settings)

    @property
    def held_back(self) -> bool:
        """Whether more is ready than its lanes have room for."""
        return self.turns.held_back

    def run_once(self) -> int:
        """Returns how many operations it published; 0 when the broker is away."""
        relay = self.relay
        rows = relay.read(self.name, self.turns.next_rows)
        publisher = relay.publisher
        if isinstance(publisher, InTurn):
            publisher = publisher.inner  # these were let in already
        return len(rows) if rows and publish_plan(relay.db, publisher, single_messages(rows)) else 0
