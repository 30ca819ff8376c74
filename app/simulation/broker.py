"""A broker of lists: it keeps what Celery's canvas and our result backend promise (`engine.parcel`), and breaks all else when told to.

Any message may be lost, repeated, overtaken, kept back or flushed, and one from long ago may come again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from surefoot.app.engine.worker.delivery import Performed
from surefoot.app.engine.worker.parcel import Parcel, parcels
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.rules.planner import Plan
from surefoot.app.simulation.instrumented_engine import Doors
from surefoot.app.simulation.stage import Stage


@dataclass
class SimBroker:
    """Publisher and broker in one.

    `waiting`: what can be delivered now; `old`: everything that ever left, for the duplicate that comes an hour later;
    `objections`: what it found wrong with what was given to it.
    """

    stage: Stage
    doors: Doors
    down: bool = False
    waiting: list[Parcel] = field(default_factory=list)
    old: list[Parcel] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    lose_next: int = 0  # how many of the next messages are taken and lost
    mark: str | None = None

    # --- the publisher's side --------------------------------------------------------------------------------------
    def publish(self, plan: Plan) -> bool:
        if self.doors.open:
            self.objections.append("a message left before the commit of what it is about")
            return True
        self.stage.point("publish/before")
        if self.down:
            return False
        for parcel in parcels(plan):
            self.send(parcel)
        self.stage.point("publish/after")
        return True

    def send(self, parcel: Parcel) -> None:
        self.old.append(parcel)
        if self.lose_next:
            self.lose_next -= 1
            return
        self.waiting.append(parcel)

    def go_on(self, parcel: Parcel, performed: Performed) -> bool:
        """What follows this message leaves, if anything does. False: it should have left and could not, so the store is to be told."""
        following = parcel.following(performed)
        if following is None:
            return True
        self.stage.point("go_on/before")
        if self.down:
            return False
        self.send(following)
        self.stage.point("go_on/after")
        return True

    # --- the probe -------------------------------------------------------------------------------------------------
    def ping(self) -> bool:
        return not self.down

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        self._must_be_up()
        return {
            queue: sum(parcel.message.queue == queue for parcel in self.waiting) for queue in queues
        }

    def marker(self) -> str | None:
        self._must_be_up()
        return self.mark

    def set_marker(self, value: str) -> None:
        self._must_be_up()
        self.mark = value

    def close(self) -> None:
        return None

    def _must_be_up(self) -> None:
        if self.down:
            raise BrokerUnavailable

    # --- the saboteur's side ---------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Everything is gone, our marker too."""
        self.waiting.clear()
        self.mark = None
