"""The broker of a drill in one process: what it does to the one message that a row is about."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.drill.plan import COPIES, Row, Trick
from app.saga.naming import task_name
from app.simulation.broker import Parcel, SimBroker


@dataclass
class Post(SimBroker):
    """`held`: what comes when nothing else does; `kept`: what comes again after the job has landed; `tricked`: it was done."""

    trick: Trick | None = None
    target: str = ""
    held: list[Parcel] = field(default_factory=list)
    kept: list[Parcel] = field(default_factory=list)
    tricked: bool = False

    def begin(self, row: Row, saga: str) -> None:
        """A new row: what the last one left behind is gone, the mark stays."""
        self.trick, self.tricked = row.trick, False
        self.target = task_name(saga, row.step, row.kind) if row.operation else ""
        for parcels in (self.waiting, self.old, self.held, self.kept):
            parcels.clear()

    def send(self, parcel: Parcel) -> None:
        if self.tricked or parcel.message.task != self.target:
            self.waiting.append(parcel)
            return
        match self.trick:
            case Trick.DUPLICATE:
                self.waiting += [parcel] * COPIES
            case Trick.LATE:
                self.waiting.append(parcel)
                self.kept.append(parcel)
            case Trick.EARLY:
                self.held.append(parcel)
            case Trick.LOST:
                pass
            case _:
                self.waiting.append(parcel)
                return
        self.tricked = True

    def send_back(self, parcel: Parcel) -> None:
        """A worker gave it back, or died with it."""
        self.waiting.append(parcel)

    def let_go(self) -> bool:
        """Deliver what was held. False: there was nothing."""
        self.waiting += self.held
        held, self.held = self.held, []
        return bool(held)
