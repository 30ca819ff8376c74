"""Stored data that this worker's code cannot read: a fault of the deployment, not an answer of the
business.

A release may not read what an earlier one accepted: an input, a result of a step before, the step's
own result that its undo counts on, a checkpoint. Nothing of the step has run then. Its operation
waits, as for a worker with its definition: no attempt is used, nothing turns, and it goes on as
soon as code that can read comes by.
"""

from __future__ import annotations

from typing import Any

from surefoot.app.clock import after
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import OpState
from surefoot.app.rules.waits import WaitReason
from surefoot.app.store import attempt_writes, operation_reads
from surefoot.app.store.column_values import CLAIM_DEADLINE_AHEAD
from surefoot.app.store.rows.operations import OperationRow

AGAIN_S = 10.0  # how soon it is offered again


def given_up(job_tx: JobTransaction, row: OperationRow) -> bool:
    """Whether its saga says how long it may wait for somebody who can do it (`queue_timeout=`), and
    that is over.
    """
    return job_tx.graph.by_name[row.step].limits_of(
        row.kind
    ).gives_up and operation_reads.past_claim_deadline(job_tx.tx, row.id)


def park(
    job_tx: JobTransaction, row: OperationRow, error: dict[str, Any], *, began: bool
) -> OperationRow | None:
    """running -> waiting, the attempt given back.

    `began`: the step's own function had begun, so its outcome is not known.

    Its clock goes on; past it, it is taken away, as of all that waits on. Returns None when the
    lease was lost.
    """
    values: dict[str, Any] = {
        "state": OpState.WAITING,
        "wait_reason": WaitReason.UNREADABLE,
        "due_at": after(AGAIN_S),
        "claim_deadline_at": CLAIM_DEADLINE_AHEAD,
        "error": error,
        "max_attempts": row.max_attempts + 1,
    }
    if not began:
        values["unknown_outcomes"] = max(0, row.unknown_outcomes - int(row.effectful))
    ended = attempt_writes.end_running_operation(job_tx.tx, row.id, row.token, values)
    if ended is not None and row.error != error:  # looking again is not worth a line
        job_tx.record(HistoryEvent.UNREADABLE, row, error=error)
    return ended
