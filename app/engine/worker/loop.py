"""A worker's loop over one message: do its operation, run on to what follows, send the rest.

Every deliverer of messages calls this: Celery's worker, the simulation, the drill in one process,
the bench and the tests. So what is simulated is what production runs. What differs between them is
said by a `Continuation`: the message at hand and what rides on it. It says what comes next, takes
it, and sends what leaves.

1. The engine does the operation that the message asks for.
2. While the completion has claimed what follows it in its lane, the engine does that too, without a
message.
3. What is left of the chain leaves if it may, and the chords whose joins were released. What did
   not leave is marked unsent, and the relay sends it within a second.
4. The continuation may acknowledge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext

from surefoot.app import faults
from surefoot.app.engine.jobs import dispatch
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import Delivery, ExecutionResult, Onward, OperationInput
from surefoot.app.engine.worker.execute import execute_operation, run_on
from surefoot.app.faults import Point
from surefoot.app.saga.naming import parse_task_name


class Continuation(ABC):
    """The message that a worker has in hand, with the chain and the chord that ride on it."""

    @abstractmethod
    def delivery(self) -> Delivery:
        """The message's own operation, with what rides on it and what may be run on to."""

    @abstractmethod
    def move_on(self, performed: ExecutionResult) -> Delivery:
        """What was offered to be run on to is claimed: take it from the chain.

        Returns it as the delivery of now.
        """

    @abstractmethod
    def leave(self, onward: Onward) -> frozenset[str]:
        """Send what leaves. Returns the ids of the operations that should have left and could not."""

    def at_work(self) -> AbstractContextManager[None]:
        """Around all operations of the message: here an error becomes what the broker's client
        understands.
        """
        return nullcontext()

    @abstractmethod
    def served(self) -> None:
        """All is done but for the acknowledgement."""


class Loop:
    """`carry_out` and `carry_on` call the engine; a subclass may look at what they return."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def serve(self, message: Continuation) -> ExecutionResult:
        """Do a message's operations.

        Returns how the last of them went. Raises: as `execute_operation`.
        """
        with message.at_work():
            delivery = message.delivery()
            performed = self.carry_out(delivery)
            while performed.following is not None:
                delivery = message.move_on(performed)
                performed = self.carry_on(delivery, performed.following)
        unsent = message.leave(performed.onward(delivery))
        if unsent:
            self.mark_unsent(unsent)
        message.served()
        return performed

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        """Do what the message asks for."""
        return execute_operation(self.runtime, delivery)

    def carry_on(
        self, delivery: Delivery, following: tuple[Attempt, OperationInput]
    ) -> ExecutionResult:
        """Do what the completion before it has claimed."""
        return run_on(self.runtime, delivery, following)

    def mark_unsent(self, operation_ids: Collection[str]) -> None:
        """These should have left with the message, and did not. Never raises."""
        dispatch.mark_unsent(self.runtime.db, operation_ids)


def before_ack(tasks: Iterable[str]) -> None:
    """A fault point: these operations are done, and the broker still has their message.

    Called by the acknowledger, which alone knows when.
    """
    for task in tasks:
        name = parse_task_name(task)
        if name is not None:
            faults.reached(Point.BEFORE_ACK, *name)
