"""How a worker gets an operation: one conditional UPDATE, with or without what the step is done
with.
"""

from __future__ import annotations

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.rules.states import Kind
from surefoot.app.saga.graph import Graph, Limits
from surefoot.app.store import attempt_writes
from surefoot.app.store.claims import ClaimRequest, Holder
from surefoot.app.store.ids import operation_id as operation_of
from surefoot.app.store.rows.operations import ClaimedWorkRow, ClaimRow
from surefoot.app.store.session import execute_single


def claim_request(
    settings: Settings,
    operation_id: str,
    limits: Limits,
    holder: Holder,
    *,
    apart: bool = False,
) -> ClaimRequest:
    """The claim of an operation with these limits by this holder. `apart`: as `ClaimRequest`."""
    hard_s = limits.timeout_s + settings.hard_limit_grace_seconds
    message = holder.message or operation_id
    return ClaimRequest(
        operation_id, holder.worker_id, holder.pid, message, settings.lease_seconds, hard_s, apart
    )


def claim(db: Engine, request: ClaimRequest) -> Attempt | None:
    """Claim an operation. None: not ready, not allowed, or somebody else has it."""
    row = execute_single(
        db, lambda tx: attempt_writes.claim_operation(tx, request), name="operations.claim"
    )
    return attempt_of(row, request) if row is not None else None


def claim_to_work(
    db: Engine, request: ClaimRequest, graph: Graph, digest: str, of: tuple[str, str, str, str]
) -> tuple[Attempt, ClaimedWorkRow] | None:
    """`claim`, with what the step is done with (`attempt_writes.claim_to_work`), if the job is
    pinned to this definition.

    `of`: the operation's job, step, kind and item.
    """
    job_id, step, kind, _item = of
    before = (
        [operation_of(job_id, name, "", Kind.ACTION) for name in graph.by_name[step].after]
        if kind == Kind.ACTION
        else []
    )
    row = execute_single(
        db,
        lambda tx: attempt_writes.claim_to_work(tx, request, of=of, digest=digest, before=before),
        name="operations.claim_to_work",
    )
    return (attempt_of(row, request), row) if row is not None else None


def attempt_of(row: ClaimRow, request: ClaimRequest) -> Attempt:
    return Attempt(
        row.id,
        row.job_id,
        row.token,
        row.attempts,
        row.fence,
        row.unknown_outcomes,
        request.worker_id,
        request.pid,
    )
