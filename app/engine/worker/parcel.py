"""A message on its way where there is no broker: what the simulation and the growth bench deliver instead of Celery.

It keeps what Celery's canvas and our result backend promise: a chain goes on when its message was done, a pack in any case, and a
chord's body leaves when a completion released its join.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from surefoot.app.engine.worker.delivery import Delivery, Performed, Rider
from surefoot.app.rules.planner import Chain, Chord, Message, Plan
from surefoot.app.saga.naming import parse_task_name


@dataclass(frozen=True, eq=False)
class Parcel:
    """A message, and what rides on it: the rest of its chain, then the body of its chord. `together`: as the chain's."""

    message: Message
    rest: tuple[Message, ...] = ()
    body: Chain | None = None
    together: int = 1

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
    def next(self) -> Parcel | None:
        """What comes after this one: the next of its chain, else the body of its chord."""
        if self.rest:
            return Parcel(self.rest[0], self.rest[1:], self.body, max(1, self.together - 1))
        return (
            Parcel(self.body.messages[0], self.body.messages[1:]) if self.body is not None else None
        )

    @property
    def packed(self) -> frozenset[str]:
        """The operations that were ready before this one was done, and count as sent with it."""
        return frozenset(message.operation_id for message in self.rest[: self.together - 1])

    def following(self, performed: Performed) -> Parcel | None:
        """What is sent after this one went so."""
        if self.rest:
            return self.next if performed.leads_on(apart=bool(self.packed)) else None
        joined = self.body is not None and self.body.messages[0].operation_id in performed.released
        return self.next if joined and performed.leads_on(apart=False) else None

    def delivery(
        self,
        boot: str,
        pid: int,
        *,
        runs_on: bool = True,
        carries: bool = True,
        message: str | None = None,
    ) -> Delivery:
        """As a worker hands it to the engine. `carries` False: the broker is known to be away, so nothing rides."""
        saga, step, kind = self.names
        asked, after = self.message, self.next
        carried = (
            frozenset((after.message.operation_id,))
            if after is not None and carries
            else frozenset[str]()
        )
        rider = None
        if runs_on and after is not None and after.message.queue == asked.queue:
            _, next_step, next_kind = after.names
            rider = Rider(after.message.operation_id, next_step, next_kind)
        return Delivery(
            asked.operation_id,
            asked.job_id,
            step,
            kind,
            asked.item,
            boot,
            pid,
            carried,
            rider,
            message,
            saga,
        )


def parcels(plan: Plan) -> tuple[Parcel, ...]:
    """What leaves when this plan is published."""
    return tuple(
        Parcel(
            chain.messages[0],
            chain.messages[1:],
            part.body if isinstance(part, Chord) else None,
            chain.together,
        )
        for part in plan
        for chain in (part.header if isinstance(part, Chord) else (part,))
    )
