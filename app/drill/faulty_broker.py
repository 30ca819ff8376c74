"""The broker of a drill in one process: what it does to the one message that a row is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from surefoot.app.drill.row import COPIES, Disturbance, Row
from surefoot.app.rules.states import Kind
from surefoot.app.saga.naming import queue_name, task_name
from surefoot.app.testkit.broker import FakeBroker
from surefoot.app.testkit.delivery import FakeDelivery


@dataclass
class FaultyBroker(FakeBroker):
    """`held`: what comes when nothing else does; `kept`: what comes again after the job has landed;
    `left`: what lies in queues that nobody consumes (`nobody_at`); `tricked`: it was done.
    """

    trick: Disturbance | None = None
    target: str = ""
    held: list[FakeDelivery] = field(default_factory=list)
    kept: list[FakeDelivery] = field(default_factory=list)
    left: list[FakeDelivery] = field(default_factory=list)
    nobody_at: frozenset[str] = frozenset()
    tricked: bool = False

    def begin(self, row: Row, saga: str) -> None:
        """A new row: what the last one left behind is gone, the mark stays."""
        self.trick, self.tricked = row.trick, False
        self.target = task_name(saga, row.step, row.kind) if row.operation else ""
        self.nobody_at = frozenset()
        for deliveries in (self.waiting, self.old, self.held, self.kept, self.left):
            deliveries.clear()

    def send(self, delivery: FakeDelivery) -> None:
        if delivery.message.queue in self.nobody_at:
            self.left.append(delivery)
            self.tricked = True
            return
        if self.tricked or delivery.message.task != self.target:
            self.waiting.append(delivery)
            return
        match self.trick:
            case Disturbance.DUPLICATE:
                self.waiting += [delivery] * COPIES
            case Disturbance.LATE:
                self.waiting.append(delivery)
                self.kept.append(delivery)
            case Disturbance.EARLY:
                self.held.append(delivery)
            case Disturbance.LOST:
                pass
            case _:
                self.waiting.append(delivery)
                return
        self.tricked = True

    def send_back(self, delivery: FakeDelivery) -> None:
        """A worker gave it back, or died with it."""
        (self.left if delivery.message.queue in self.nobody_at else self.waiting).append(delivery)

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        left = [delivery.message.queue for delivery in self.left]
        return {queue: count + left.count(queue) for queue, count in super().depth(queues).items()}

    def flush(self) -> None:
        super().flush()
        self.left.clear()

    def leave(self, lane: str) -> None:
        """Nobody consumes the queues of this lane from now on."""
        self.nobody_at = frozenset(queue_name(lane, kind) for kind in (Kind.ACTION, Kind.UNDO))
        waiting, self.waiting = self.waiting, []
        for delivery in waiting:
            self.send_back(delivery)
        self.tricked = self.tricked or bool(self.left)

    def come(self) -> None:
        """Somebody does again, and finds what was left."""
        self.waiting += self.left
        self.left, self.nobody_at = [], frozenset()

    def let_go(self) -> bool:
        """Deliver what was held. False: there was nothing."""
        self.waiting += self.held
        held, self.held = self.held, []
        return bool(held)
