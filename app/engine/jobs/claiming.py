"""How a worker gets an operation: one conditional UPDATE, with or without what the step is done with."""

from __future__ import annotations

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.rules.states import Kind
from surefoot.app.saga.graph import Graph, Limits
from surefoot.app.store import attempt_writes
from surefoot.app.store.claims import Holder, Taking
from surefoot.app.store.ids import operation_id as operation_of
from surefoot.app.store.rows.operations import ClaimedWorkRow, ClaimRow
from surefoot.app.store.session import one_statement


def taking(
    settings: Settings,
    operation_id: str,
    limits: Limits,
    holder: Holder,
    *,
    apart: bool = False,
) -> Taking:
    """The claim of an operation with these limits by this holder. `apart`: as `Taking`."""
    hard_s = limits.timeout_s + settings.hard_limit_grace_seconds
    message = holder.message or operation_id
    return Taking(
        operation_id, holder.boot, holder.pid, message, settings.lease_seconds, hard_s, apart
    )


def claim(db: Engine, taking: Taking) -> Attempt | None:
    """Claim an operation. None: not ready, not allowed, or somebody else has it."""
    row = one_statement(
        db, lambda tx: attempt_writes.claim_operation(tx, taking), name="operations.claim"
    )
    return attempt_of(row, taking) if row is not None else None


def claim_to_work(
    db: Engine, taking: Taking, graph: Graph, digest: str, of: tuple[str, str, str, str]
) -> tuple[Attempt, ClaimedWorkRow] | None:
    """`claim`, with what the step is done with (`attempt_writes.claim_to_work`), if the job is pinned to this definition.

    `of`: the operation's job, step, kind and item.
    """
    job_id, step, kind, _item = of
    before = (
        [operation_of(job_id, name, "", Kind.ACTION) for name in graph.by_name[step].after]
        if kind == Kind.ACTION
        else []
    )
    row = one_statement(
        db,
        lambda tx: attempt_writes.claim_to_work(tx, taking, of=of, digest=digest, before=before),
        name="operations.claim_to_work",
    )
    return (attempt_of(row, taking), row) if row is not None else None


def attempt_of(row: ClaimRow, taking: Taking) -> Attempt:
    return Attempt(
        row.id,
        row.job_id,
        row.token,
        row.attempts,
        row.fence,
        row.unsettled,
        taking.boot,
        taking.pid,
    )
