"""What a delivery is, what an operation is done with, and what became of it: the words between a
worker and the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.secrecy import NONE, Secrets


class DeliveryOutcome(StrEnum):
    COMPLETED = "completed"  # done now: the chain goes on
    REPEATED = "repeated"  # was done before; the message came again: its chain goes on
    DROPPED = "dropped"  # not ours to do, or the lease was lost: this message and its chain end
    RETRY = "retry"  # tried again later; the timer is in the store
    PARKED = "parked"  # waits durably
    FAILED = "failed"  # given up


def always() -> bool:
    return True


@dataclass(frozen=True)
class NextOperation:
    """The next operation of a delivery's chain, where it may be run at once: same lane, nothing in
    between.
    """

    operation_id: str
    step: str
    kind: str


@dataclass(frozen=True)
class Delivery:
    """A message that has reached a worker.

    `carried`: the operations its own chain or chord sends next; `rider`: what may be run on to;
    `message`: the id of the message where the operation is not its first; `saga`: as the task's
    name says, or "" where that is not known; `fit`: asked after the step, whether this process may
    run on; `apart`: what comes next in its chain does not wait for it (a batch).
    """

    operation_id: str
    job_id: str
    step: str
    kind: str
    item: str
    worker_id: str
    pid: int
    carried: frozenset[str] = field(default_factory=frozenset)
    rider: NextOperation | None = None
    message: str | None = None
    saga: str = ""
    fit: Callable[[], bool] = always
    apart: bool = False


@dataclass(frozen=True)
class OperationInput:
    """What one operation is done with: its job, the definition that the job is pinned to, and what
    came of it so far.

    `results`: of steps that this delivery has done itself, as they were put on record; `secrets`:
    what nobody may see of the input; `tenant`: whose job it is, by name.
    """

    job_id: str
    saga: str
    digest: str
    input: Any
    step: str
    kind: str
    item: str
    tenant: str
    traceparent: str | None = None
    checkpoint: Any = None
    results: dict[str, Any] = field(default_factory=dict)
    secrets: Secrets = NONE

    def next(self, step: str, kind: str, result: Any) -> OperationInput:
        """The work of an operation that this one ran on to.

        It was never claimed before, so it has no checkpoint.
        """
        return replace(
            self, step=step, kind=kind, checkpoint=None, results={**self.results, self.step: result}
        )


@dataclass(frozen=True)
class Onward:
    """What leaves when a message is done.

    `chain`: the next of its chain; `joins`: the joins whose chord's body does.
    """

    chain: bool
    joins: frozenset[str]


@dataclass(frozen=True)
class ExecutionResult:
    """`released`: what this completion made ready; `stop_chain`: the job has turned, the chain ends
    here.

    `following`: the rider and its work, claimed in the same transaction: it must be run now.
    `forged`: the message says what the store does not: no process of this store has sent it.
    `attempt`: which it was, where it was claimed.
    """

    verdict: DeliveryOutcome
    released: frozenset[str] = field(default_factory=frozenset)
    stop_chain: bool = False
    error: str | None = None
    following: tuple[Attempt, OperationInput] | None = None
    forged: bool = False
    attempt: int = 0

    @property
    def said(self) -> str:
        """What Celery and Flower are told of it: the verdict or what went wrong, with the attempt
        where it was not the first.
        """
        goes_well = self.verdict in (DeliveryOutcome.COMPLETED, DeliveryOutcome.REPEATED)
        said = str(self.verdict) if goes_well else self.error or str(self.verdict)
        if self.attempt <= 1:
            return said
        return f"{said}, attempt {self.attempt}" if goes_well else f"attempt {self.attempt}: {said}"

    def onward(self, delivery: Delivery) -> Onward:
        """What leaves after this delivery.

        The members of a batch do not wait for each other, however one went.
        """
        done = self.verdict in (DeliveryOutcome.COMPLETED, DeliveryOutcome.REPEATED)
        ends = self.forged or (done and self.stop_chain)
        chain = not ends and (delivery.apart or (done and bool(delivery.carried)))
        joins = self.released & delivery.carried if done and not ends else frozenset[str]()
        return Onward(chain, joins)
