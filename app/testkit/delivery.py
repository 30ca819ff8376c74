"""A message in a fake broker: what rides on it, and how a worker hands it to the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from surefoot.app.engine.worker.delivery import Delivery, NextOperation, Onward
from surefoot.app.rules.planner import Chain, Chord, Message, Plan
from surefoot.app.saga.naming import parse_task_name


@dataclass(frozen=True, eq=False)
class FakeDelivery:
    """A message in the broker, and what rides on it: the rest of its chain, then the body of its
    chord.

    `together`: as the chain's.
    """

    message: Message
    rest: tuple[Message, ...] = ()
    body: Chain | None = None
    together: int = 1

    def copy(self) -> FakeDelivery:
        """The same message once more: another thing in the broker."""
        return replace(self)

    @property
    def name(self) -> str:
        """The task's name, without the saga's."""
        return self.message.task.partition(".")[2]

    @property
    def next(self) -> FakeDelivery | None:
        """What comes after this one: the next of its chain, else the body of its chord."""
        if self.rest:
            return FakeDelivery(self.rest[0], self.rest[1:], self.body, max(1, self.together - 1))
        if self.body is None:
            return None
        return FakeDelivery(self.body.messages[0], self.body.messages[1:])

    @property
    def batched(self) -> frozenset[str]:
        """The operations that were ready before this one was done, and count as sent with it."""
        return frozenset(message.operation_id for message in self.rest[: self.together - 1])

    def leaving(self, onward: Onward) -> FakeDelivery | None:
        """What is sent after this one."""
        if self.rest:
            return self.next if onward.chain else None
        joined = self.body is not None and self.body.messages[0].operation_id in onward.joins
        return self.next if joined else None


@dataclass(frozen=True)
class Child:
    """A worker's process, as it takes a message.

    `runs_on`: it goes on in its lane without a message; `carries`: False while the broker is known
    to be away, so that nothing rides.
    """

    worker_id: str
    pid: int
    runs_on: bool = True
    carries: bool = True


def as_delivery(taken: FakeDelivery, child: Child, *, message: str | None = None) -> Delivery:
    """As a worker hands it to the engine.

    `message`: the id of the message, where this operation was run on to.
    """
    asked, after = taken.message, taken.next
    name = parse_task_name(asked.task)
    if name is None:
        raise ValueError(f"not the name of an operation's task: {asked.task}")
    carried: frozenset[str] = frozenset()
    rider = None
    if after is not None and child.carries:
        carried = frozenset((after.message.operation_id,))
    following = parse_task_name(after.message.task) if after is not None else None
    if child.runs_on and after and following and after.message.queue == asked.queue:
        rider = NextOperation(after.message.operation_id, following.step, following.kind)
    return Delivery(
        operation_id=asked.operation_id,
        job_id=asked.job_id,
        step=name.step,
        kind=name.kind,
        item=asked.item,
        worker_id=child.worker_id,
        pid=child.pid,
        carried=carried,
        rider=rider,
        message=message,
        saga=name.saga,
        apart=bool(taken.batched),
    )


def deliveries(plan: Plan) -> tuple[FakeDelivery, ...]:
    """What leaves when this plan is published."""
    return tuple(
        FakeDelivery(
            chain.messages[0],
            chain.messages[1:],
            part.body if isinstance(part, Chord) else None,
            chain.together,
        )
        for part in plan
        for chain in (part.header if isinstance(part, Chord) else (part,))
    )
