"""A broker of lists: it keeps what Celery's canvas and our result backend promise, and breaks all else when told to.

A chain goes on only when its message was done; a chord's body leaves only when a completion released its join. Beyond
that any message may be lost, repeated, overtaken, kept back or flushed, and one from long ago may come again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.engine.work import Delivery, Performed, Rider, Verdict
from app.errors import BrokerUnavailable
from app.rules.planner import Chain, Chord, Message, Plan
from app.saga.naming import parse_task_name
from app.simulation.stage import Stage
from app.simulation.store import Doors


@dataclass(frozen=True, eq=False)
class Parcel:
    """A message under way, and what rides on it: the rest of its chain, then the body of its chord."""

    message: Message
    rest: tuple[Message, ...] = ()
    body: Chain | None = None

    def copy(self) -> Parcel:
        """The same message once more: another thing in the broker."""
        return replace(self)

    @property
    def name(self) -> str:
        """The task's name, without the saga's."""
        return self.message.task.partition(".")[2]

    @property
    def names(self) -> tuple[str, str, str]:
        """(saga, step, kind)."""
        name = parse_task_name(self.message.task)
        if name is None:
            raise ValueError(f"no task of ours: {self.message.task}")
        return name

    @property
    def carried(self) -> frozenset[str]:
        """The operations that this delivery publishes by itself (as `delivery.canvas.carried`)."""
        following = self.rest[:1] or (self.body.messages[:1] if self.body else ())
        return frozenset(message.operation_id for message in following)

    @property
    def next(self) -> Parcel | None:
        """What is sent when this one was done and leads on along its chain."""
        return Parcel(self.rest[0], self.rest[1:], self.body) if self.rest else None

    def delivery(self, boot: str, pid: int, *, runs_on: bool, carries: bool, message: str | None = None) -> Delivery:
        """As a worker hands it to the engine. `carries` False: the broker is known to be away, so nothing rides."""
        saga, step, kind = self.names
        rider = None
        if runs_on and self.rest and self.rest[0].queue == self.message.queue:
            following = parse_task_name(self.rest[0].task)
            if following is not None:
                rider = Rider(self.rest[0].operation_id, following.step, following.kind)
        carried = self.carried if carries else frozenset()
        asked = self.message
        return Delivery(asked.operation_id, asked.job_id, step, kind, asked.item, boot, pid, carried, rider, message, saga)


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
        for part in plan:
            for chain in part.header if isinstance(part, Chord) else (part,):
                self.send(Parcel(chain.messages[0], chain.messages[1:], part.body if isinstance(part, Chord) else None))
        self.stage.point("publish/after")
        return True

    def send(self, parcel: Parcel) -> None:
        self.old.append(parcel)
        if self.lose_next:
            self.lose_next -= 1
            return
        self.waiting.append(parcel)

    def go_on(self, parcel: Parcel, performed: Performed) -> bool:
        """What follows a message that was done: the next of its chain, or the chord's body when its join was released.

        False: it should have left and could not, so the store is to be told.
        """
        if performed.verdict not in (Verdict.COMPLETED, Verdict.REPEATED) or performed.stop_chain:
            return True
        following = parcel.next
        if following is None:
            body = parcel.body
            if body is None or body.messages[0].operation_id not in performed.released:
                return True
            following = Parcel(body.messages[0], body.messages[1:])
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
        return {queue: sum(parcel.message.queue == queue for parcel in self.waiting) for queue in queues}

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
