"""The worker's loop in a drill: after each operation the row's trace tells what became of it."""

from __future__ import annotations

from collections.abc import Callable

from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import (
    Delivery,
    DeliveryOutcome,
    ExecutionResult,
    OperationInput,
)
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.saga.naming import task_name


class ToldLoop(Loop):
    """`say`: writes a line into the trace; `read_history`: brings the trace up to date with the
    store.
    """

    def __init__(
        self, runtime: Runtime, say: Callable[[str], None], read_history: Callable[[], None]
    ) -> None:
        super().__init__(runtime)
        self._say, self._read_history = say, read_history

    def carry_out(self, delivery: Delivery) -> ExecutionResult:
        return self._told(delivery, super().carry_out(delivery))

    def carry_on(
        self, delivery: Delivery, following: tuple[Attempt, OperationInput]
    ) -> ExecutionResult:
        self._read_history()
        return self._told(delivery, super().carry_on(delivery, following))

    def _told(self, delivery: Delivery, performed: ExecutionResult) -> ExecutionResult:
        if performed.verdict in (DeliveryOutcome.DROPPED, DeliveryOutcome.REPEATED):
            _, _, name = task_name(delivery.saga, delivery.step, delivery.kind).partition(".")
            why = f": {performed.error}" if performed.error else ""
            self._say(f"  message of {name} {performed.verdict}{why}")
        return performed
