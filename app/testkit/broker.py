"""A publisher and a broker of lists, in one object.

It keeps what Celery's canvas and our result backend promise: a chain goes on when its message was
done, a batch in any case, and a chord's body leaves when a completion released its join. It breaks
all else when told to: any message may be lost, repeated, overtaken or kept back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from surefoot.app.engine.worker.delivery import Delivery, ExecutionResult, Onward
from surefoot.app.engine.worker.loop import Continuation, before_ack
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.rules.planner import Plan
from surefoot.app.testkit.delivery import Child, FakeDelivery, as_delivery, deliveries


def _nowhere(_name: str) -> None:
    """A point at which nothing happens."""


def _never() -> bool:
    return False


@dataclass
class FakeBroker:
    """Publisher, broker and its probe. `down` refuses everything.

    `waiting`: what can be delivered now; `old`: all that ever left, for the duplicate that comes an
    hour later;
    `published`: operation id -> how often its message left; `bodies`: chords' bodies among them;
    `lose_next`: how many of the next messages are taken and lost; `objections`: what was wrong with
    what it was given.
    `point`: called with the name of each place where a process may be stopped; `uncommitted`:
    whether a transaction is open just now, in which nothing may leave.
    """

    point: Callable[[str], None] = _nowhere
    uncommitted: Callable[[], bool] = _never
    down: bool = False
    waiting: list[FakeDelivery] = field(default_factory=list)
    old: list[FakeDelivery] = field(default_factory=list)
    published: Counter[str] = field(default_factory=Counter)
    bodies: int = 0
    lose_next: int = 0
    objections: list[str] = field(default_factory=list)
    mark: str | None = None

    # --- the publisher's side ---------------------------------------------------------------------
    def publish(self, plan: Plan) -> bool:
        """What `dispatch.Publishes` asks for."""
        if self.uncommitted():
            self.objections.append("a message left before the commit of what it is about")
            return True
        self.point("publish/before")
        if self.down:
            return False
        for delivery in deliveries(plan):
            self.send(delivery)
        self.point("publish/after")
        return True

    def go_on(self, following: FakeDelivery, *, body: bool = False) -> bool:
        """What rode on a message leaves after its operation.

        `body`: of a chord. False: it could not leave.
        """
        self.point("go_on/before")
        if self.down:
            return False
        self.bodies += body
        self.send(following)
        self.point("go_on/after")
        return True

    def send(self, delivery: FakeDelivery) -> None:
        """A message has reached the broker."""
        self.published[delivery.message.operation_id] += 1
        self.old.append(delivery)
        if self.lose_next:
            self.lose_next -= 1
            return
        self.waiting.append(delivery)

    # --- the probe --------------------------------------------------------------------------------
    def ping(self) -> bool:
        return not self.down

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        self._must_be_up()
        waiting = Counter(delivery.message.queue for delivery in self.waiting)
        return {queue: waiting[queue] for queue in queues}

    def marker(self) -> str | None:
        self._must_be_up()
        return self.mark

    def set_marker(self, value: str) -> None:
        self._must_be_up()
        self.mark = value

    def close(self) -> None:
        """There is nothing to close."""

    def _must_be_up(self) -> None:
        if self.down:
            raise BrokerUnavailable

    # --- what is done to it -----------------------------------------------------------------------
    def flush(self) -> None:
        """Everything is gone, our marker too."""
        self.waiting.clear()
        self.mark = None


class FakeContinuation(Continuation):
    """A message of the fake broker in a worker's hand. `at`: the operation that it has come to."""

    def __init__(self, broker: FakeBroker, taken: FakeDelivery, child: Child) -> None:
        self._broker, self._child = broker, child
        self._first = taken.message.operation_id
        self.at = taken
        self.tasks = [taken.message.task]

    def delivery(self) -> Delivery:
        return as_delivery(self.at, self._child)

    def move_on(self, performed: ExecutionResult) -> Delivery:
        following = self.at.next
        if following is None:
            raise AssertionError("run on to something that does not ride")
        self.at = following
        self.tasks.append(following.message.task)
        return as_delivery(following, self._child, message=self._first)

    def leave(self, onward: Onward) -> frozenset[str]:
        leaving = self.at.leaving(onward)
        if leaving is None or self._broker.go_on(leaving, body=not self.at.rest):
            return frozenset()
        return frozenset((leaving.message.operation_id,)) | self.at.batched

    def served(self) -> None:
        before_ack(self.tasks)
