"""Value types of one attempt of an operation: its claim, its failure or result, and how its
transition went.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from surefoot.app.engine.jobs.retries import PLAIN, Kindred
from surefoot.app.rules.planner import Plan
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.store.claims import ClaimRequest


@dataclass(frozen=True)
class Attempt:
    """One claim of one operation: what every write of it names.

    `worker_id`, `pid`: the worker and the child that has it.
    """

    operation_id: str
    job_id: str
    token: str
    number: int
    fence: int
    unknown_outcomes: int
    worker_id: str = ""
    pid: int = 0
    began: float = field(
        default_factory=time.monotonic, compare=False, repr=False
    )  # by this process's own clock

    @property
    def took_s(self) -> float:
        """How long ago it was claimed, seconds."""
        return time.monotonic() - self.began


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended without a result.

    `nothing_happened`: this attempt is known to have had no effect. `kind`: what decides whether a
    transient one is tried again.
    """

    how: FailureReason
    error: dict[str, Any]
    nothing_happened: bool = False
    delay_s: float | None = None
    kind: Kindred = PLAIN
    message_returns: bool = (
        False  # the broker's message is put back by Celery: no need to ring again
    )
    result: Any = None  # of one that failed for good: what its undo is given


@dataclass(frozen=True)
class Completion:
    """What an attempt completes with. `carried`, `then`: as `complete`."""

    result: Any
    carried: frozenset[str] = frozenset()
    then: ClaimRequest | None = None


@dataclass(frozen=True)
class TransitionResult:
    """How a transaction of an attempt went.

    `applied` False: the lease was lost, nothing was written but a line of history.
    """

    applied: bool
    state: str = ""
    plan: Plan = ()
    released: frozenset[str] = field(default_factory=frozenset)
    turned: bool = False
    following: Attempt | None = None


LEASE_LOST = TransitionResult(applied=False)
