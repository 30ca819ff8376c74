"""Whether a failed attempt is followed by another, and when.

Attempts bound what is known to be wrong: a step that kills its worker, a mistake of its code, or as
many as its saga counts (`Retry(limit=5)`). Everything else is bounded by time (`Graph.patience_s`):
a service that is away for half a minute says nothing about an order. The time runs from the first
failure since the service last answered, so time without a worker is not reason by itself: an
operation fails as often as its kind may at the least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.saga.policies import backoff
from surefoot.app.store import operation_reads
from surefoot.app.store.column_values import FAILING_SINCE
from surefoot.app.store.host import host_of
from surefoot.app.store.rows.operations import OperationRow


@dataclass(frozen=True)
class Kindred:
    """What kind of failure it was.

    `wrong`: a mistake that trying again does not mend; `unsent`: the participant was never reached.
    """

    wrong: bool = False
    unsent: bool = False


PLAIN = Kindred()
SERVED: dict[str, Any] = {
    "failing_since": None,
    "failures": 0,
}  # the service has answered, or a person says: try anew


def goes_on(job_tx: JobTransaction, row: OperationRow, kind: Kindred) -> dict[str, Any] | None:
    """What to write of the count and the time, where it is tried again; None where it is given up."""
    limits = job_tx.graph.by_name[row.step].limits_of(row.kind)
    failures = row.failures + 1
    in_time = operation_reads.failing_s(job_tx.tx, row.id) < job_tx.graph.patience_s(
        row.step, row.kind
    )
    left = row.attempts < row.max_attempts
    noted = {
        "failing_since": FAILING_SINCE,
        "failures": failures,
    }
    counts = kind.wrong or (limits.counted and not kind.unsent)
    if counts:
        in_its_time = in_time or limits.for_s is None
        return noted if left and in_its_time else None
    if in_time or (not limits.counted and limits.for_s is None and failures < limits.attempts):
        return noted | {"max_attempts": row.max_attempts + 1}
    return None


def pause_s(job_tx: JobTransaction, row: OperationRow) -> float:
    """How long until the next attempt: full jitter, bounded by the cap.

    (A circuit breaker of a lane would lengthen it here.)
    """
    return backoff(
        job_tx.graph.by_name[row.step].limits_of(row.kind),
        row.failures + 1,
        host_of(job_tx.tx).random,
    )
