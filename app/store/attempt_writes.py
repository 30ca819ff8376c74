"""Writes of one attempt: claimed, renewed, ended.

Each is one conditional UPDATE that names the attempt's token.

A claim looks at the operation's row only, never at the job: the turn writes every row that a claim
could take.

What every operation of every job costs is built once, as a constant with parameters (`p_` and a
name): building such a statement takes longer than running it. They return what their callers read,
and no input, result or checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    String,
    Update,
    and_,
    bindparam,
    case,
    false,
    func,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from surefoot.app.clock import after, now
from surefoot.app.rules.states import OpState
from surefoot.app.store.claims import ClaimRequest
from surefoot.app.store.host import host_of
from surefoot.app.store.rows.operations import (
    BriefOperationRow,
    ClaimedWorkRow,
    ClaimRow,
    OperationRow,
)
from surefoot.app.store.shapes import Shaped
from surefoot.app.store.statements import BRIEF, ONE, QUEUED, RUNNING, STATE, ZERO, in_text
from surefoot.app.store.tables import Id, jobs, operations, tenants
from surefoot.app.store.types import one_of, results_by_step

o = operations.c

_TAKEN = (
    update(operations)
    .where(
        o.id == bindparam("p_id", type_=Id),
        o.pending_dependencies == ZERO,
        o.stop_requested.is_(False),
        o.attempts < o.max_attempts,
        or_(o.state == QUEUED, and_(o.state == RUNNING, o.lease_until < now())),
    )
    .values(
        state=RUNNING,
        fence=o.fence + ONE,
        token=(o.fence + ONE).cast(String) + bindparam("p_token", type_=String),
        worker_id=bindparam("p_worker_id", type_=String),
        pid=bindparam("p_pid", type_=Integer),
        message_id=bindparam("p_message_id", type_=Id),
        attempts=o.attempts + ONE,
        started=true(),
        unknown_outcomes=o.unknown_outcomes + case((o.effectful, ONE), else_=ZERO),
        lease_until=after(bindparam("p_lease_s", type_=Float)),
        hard_deadline_at=after(bindparam("p_hard_s", type_=Float)),
        heartbeat_deadline_at=after(o.stall_s),  # null where nothing is said
        due_at=null(),
        wait_reason=null(),
        progress=null(),
        started_at=func.coalesce(o.started_at, now()),
    )
)
_ATTEMPT = (o.id, o.job_id, o.token, o.attempts, o.fence, o.unknown_outcomes)
_CLAIM = _TAKEN.returning(*_ATTEMPT)
_CLAIM_FIRST = _TAKEN.where(o.attempts == ZERO).returning(*_ATTEMPT)
_before = operations.alias("before")
_OF_MESSAGE = _TAKEN.where(
    o.job_id == bindparam("p_job", type_=Id),
    o.step == bindparam("p_step", type_=String),
    o.kind == bindparam("p_kind", type_=String),
    o.item == bindparam("p_item", type_=String),
    # of what cannot change, or the guard would be about another moment than the row
    select(jobs.c.digest).where(jobs.c.id == o.job_id).scalar_subquery()
    == bindparam("p_digest", type_=String),
)


def _claim_to_work(before: ColumnElement[bool]) -> ReturningUpdate[Any]:
    results = (
        select(results_by_step(_before.c.step, _before.c.result))
        .where(
            before, or_(_before.c.state == OpState.COMPLETED, _before.c.state == OpState.SKIPPED)
        )
        .scalar_subquery()
    )
    given, trace = (
        select(c).where(jobs.c.id == o.job_id).scalar_subquery().label(c.name)
        for c in (jobs.c.input, jobs.c.traceparent)
    )
    tenant_id = (
        select(jobs.c.tenant_id)
        .where(jobs.c.id == o.job_id)
        .correlate(operations)
        .scalar_subquery()
    )
    whose = (
        select(tenants.c.name).where(tenants.c.id == tenant_id).correlate(operations)
    )  # no join: SQLite's RETURNING has no names of tables
    return _OF_MESSAGE.returning(
        *_ATTEMPT,
        o.checkpoint,
        given,
        trace,
        whose.scalar_subquery().label("tenant"),
        results.label("results"),
    )


# After one step at most, as most are; or after several: for an array PostgreSQL plans anew each
# time (see `wide`).
_CLAIM_AFTER_ONE = _claim_to_work(_before.c.id == bindparam("p_before", type_=Id))
_CLAIM_AFTER_SEVERAL = _claim_to_work(one_of(_before.c.id, "p_before"))


def claim_operation(tx: Connection, taking: ClaimRequest) -> ClaimRow | None:
    """Take an operation that is ready and allowed: queued, or running under a lease that has run
    out.

    The attempt is counted here, before any code of a user runs. Returns (id, job_id, token,
    attempts, fence, unknown_outcomes); None: somebody else has it, it is not ready, it is out of
    attempts, or the job has turned.
    """
    return tx.execute(_CLAIM, _claim(tx, taking)).one_or_none()


def claim_first_attempt(tx: Connection, taking: ClaimRequest) -> ClaimRow | None:
    """As `claim_operation`, if nobody has tried it before: what a delivery comes to by itself, not
    by that operation's message.
    """
    return tx.execute(_CLAIM_FIRST, _claim(tx, taking)).one_or_none()


def claim_to_work(
    tx: Connection,
    taking: ClaimRequest,
    *,
    of: tuple[str, str, str, str],
    digest: str,
    before: Sequence[str],
) -> ClaimedWorkRow | None:
    """As `claim_operation`, if it is what the message says and its job is pinned to this
    definition; and what its step is done with.

    `of`: its job, step, kind and item; `before`: ids of the operations whose results it takes.
    Returns also `checkpoint`, its job's `input`, `traceparent` and `tenant` (name), and `results`
    of those that were done when this statement began: it may have waited for the row, so one can be
    missing.
    """
    named = dict(zip(("p_job", "p_step", "p_kind", "p_item"), of, strict=True))
    several = len(before) > 1
    values = (
        _claim(tx, taking)
        | named
        | {"p_digest": digest, "p_before": before if several else before[0] if before else None}
    )
    return tx.execute(_CLAIM_AFTER_SEVERAL if several else _CLAIM_AFTER_ONE, values).one_or_none()


def _claim(tx: Connection, taking: ClaimRequest) -> dict[str, Any]:
    return {
        "p_id": taking.operation_id,
        "p_token": "." + host_of(tx).new_token(),
        "p_worker_id": taking.worker_id,
        "p_pid": taking.pid,
        "p_message_id": taking.message_id,
        "p_lease_s": taking.lease_s,
        "p_hard_s": taking.hard_s,
    }


def _of_attempt(operation_id: str, token: str) -> Any:
    return and_(o.id == operation_id, o.token == token, STATE == RUNNING)


_FINISH = (
    update(operations)
    .where(
        o.id == bindparam("p_id", type_=Id),
        o.token == bindparam("p_token", type_=String),
        STATE == RUNNING,
    )
    .values(
        state=in_text(OpState.COMPLETED),
        result=bindparam("p_result", type_=operations.c.result.type),
        unknown_outcomes=ZERO,
        stop_requested=false(),
        lease_until=null(),
        hard_deadline_at=null(),
        heartbeat_deadline_at=null(),
        finished_at=now(),
        error=null(),
    )
    .returning(*BRIEF)
)


def finish_running_operation(
    tx: Connection, operation_id: str, token: str, result: Any
) -> BriefOperationRow | None:
    """running -> completed, by the attempt that holds it.

    The job's direction is not asked: what happened, happened. Returns BRIEF.
    """
    return tx.execute(
        _FINISH, {"p_id": operation_id, "p_token": token, "p_result": result}
    ).one_or_none()


def _this_attempt() -> Update:
    return update(operations).where(
        o.id == bindparam("p_id", type_=Id),
        o.token == bindparam("p_token", type_=String),
        STATE == RUNNING,
    )


_END = Shaped(_this_attempt, lambda change: change.returning(*operations.c))
_END_EXPIRED = Shaped(
    lambda: _this_attempt().where(o.lease_until < now()),
    lambda change: change.returning(*operations.c),
)


def end_running_operation(
    tx: Connection,
    operation_id: str,
    token: str | None,
    values: dict[str, Any],
    *,
    expired_only: bool = False,
) -> OperationRow | None:
    """running -> failed | waiting | queued | abandoned, by the attempt that holds it (or for it,
    once its lease has run out).
    """
    form = _END_EXPIRED if expired_only else _END
    end, given = form.setting({"lease_until": None, "hard_deadline_at": None, **values})
    return tx.execute(end, given | {"p_id": operation_id, "p_token": token}).one_or_none()


def note_progress(tx: Connection, operation_id: str, token: str, values: dict[str, Any]) -> bool:
    """Progress, a checkpoint or another sign of a running attempt. False: the lease is lost."""
    statement = (
        update(operations)
        .where(_of_attempt(operation_id, token))
        .values(**values, heartbeat_deadline_at=after(o.stall_s))
    )
    return tx.execute(statement).rowcount == 1


_RENEW = (
    update(operations)
    .where(
        o.worker_id == bindparam("p_worker_id", type_=String),
        o.state == RUNNING,
        o.message_id.in_(bindparam("p_message_ids", type_=Id, expanding=True)),
        o.hard_deadline_at > now(),
        or_(o.heartbeat_deadline_at.is_(None), o.heartbeat_deadline_at > now()),
    )
    .values(lease_until=after(bindparam("p_lease_s", type_=Float)))
    .returning(o.message_id)
)


def renew_leases(
    tx: Connection, worker_id: str, deliveries: Collection[str], lease_s: float
) -> set[str]:
    """One heartbeat for everything a worker's children are at, unless past its hard limit or
    stalled. Returns the deliveries renewed.
    """
    return set(
        tx.scalars(
            _RENEW,
            {"p_worker_id": worker_id, "p_message_ids": list(deliveries), "p_lease_s": lease_s},
        )
    )
