"""Reads of operations, for the engine: of one job, of a worker, and of the sweeps, each served by
an index.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Integer, String, and_, bindparam, exists, or_, select

from surefoot.app.clock import now
from surefoot.app.rules.states import Kind
from surefoot.app.store.ids import operation_id
from surefoot.app.store.rows.operations import (
    DeliveredRow,
    HeldClaimRow,
    LeaseRow,
    OperationId,
    OperationRow,
    OverdueRow,
    ResultRow,
    UnclaimedRow,
)
from surefoot.app.store.statements import P_LIMIT, PENDING, READY, RUNNING, ZERO
from surefoot.app.store.tables import Id, jobs, operations, tenants
from surefoot.app.store.types import one_of

o, j = operations.c, jobs.c

_OPERATION = select(operations).where(o.id == bindparam("p_id", type_=Id))


def operation(connection: Connection, operation_id: str) -> OperationRow | None:
    return connection.execute(_OPERATION, {"p_id": operation_id}).one_or_none()


_FAILING = select(o.failing_since, now()).where(o.id == bindparam("p_id", type_=Id))


def failing_s(connection: Connection, operation_id: str) -> float:
    """For how long an operation has failed, seconds; 0 where it has not."""
    since, at = connection.execute(_FAILING, {"p_id": operation_id}).one()
    return (at - since).total_seconds() if since is not None else 0.0


def past_claim_deadline(connection: Connection, operation_id: str) -> bool:
    """Whether the time for somebody to come is over."""
    return bool(
        connection.execute(
            select(exists().where(o.id == operation_id, o.claim_deadline_at < now()))
        ).scalar_one()
    )


_OPERATIONS = (
    select(operations).where(o.job_id == bindparam("p_id", type_=Id)).order_by(o.rank, o.item)
)
_OPERATIONS_OF_KIND = _OPERATIONS.where(o.kind == bindparam("p_kind", type_=String))


def operations_of(
    connection: Connection, job_id: str, kind: Kind | None = None
) -> list[OperationRow]:
    """A job's operations by rank."""
    if kind is None:
        return list(connection.execute(_OPERATIONS, {"p_id": job_id}))
    return list(connection.execute(_OPERATIONS_OF_KIND, {"p_id": job_id, "p_kind": kind}))


_STATES = select(o.step, o.state).where(
    o.job_id == bindparam("p_id", type_=Id), o.kind == bindparam("p_kind", type_=String)
)


def states_of(connection: Connection, job_id: str, kind: Kind) -> dict[str, str]:
    """step -> the state of its operation of this kind."""
    return {
        row.step: row.state for row in connection.execute(_STATES, {"p_id": job_id, "p_kind": kind})
    }


_LOCK_NO_RETURN = (
    select(operations)
    .where(o.job_id == bindparam("p_id", type_=Id), o.irrevocable, o.kind != Kind.UNDO)
    .order_by(o.rank)
    .with_for_update(key_share=True)
)


def lock_no_return(tx: Connection, job_id: str) -> list[OperationRow]:
    """The rows whose claim decides that there is no way back, locked: a claim may be under way."""
    return list(tx.execute(_LOCK_NO_RETURN, {"p_id": job_id}))


_DELIVERY = (
    select(
        o.id,
        o.job_id,
        o.state,
        o.step,
        o.kind,
        o.item,
        o.checkpoint,
        j.digest,
        j.saga,
        j.input,
        j.traceparent,
    )
    .add_columns(tenants.c.name.label("tenant"))
    .join_from(operations, jobs, o.job_id == j.id)
    .join(tenants, tenants.c.id == j.tenant_id)
    .where(o.id == bindparam("p_id", type_=Id))
)


def delivery(connection: Connection, operation_id: str) -> DeliveredRow | None:
    """What a worker needs before it claims: the operation's state, the job's definition, input and
    tenant (by name).
    """
    return connection.execute(_DELIVERY, {"p_id": operation_id}).one_or_none()


_OVERDUE = select(o.message_id, o.pid, (o.hard_deadline_at > now()).label("stalled")).where(
    o.worker_id == bindparam("p_worker_id", type_=String),
    o.state == RUNNING,
    o.message_id.in_(bindparam("p_message_ids", type_=Id, expanding=True)),
    or_(o.hard_deadline_at <= now(), o.heartbeat_deadline_at <= now()),
)


def overdue(
    connection: Connection, worker_id: str, deliveries: Collection[str]
) -> list[OverdueRow]:
    """(message_id, pid, stalled) of what a worker holds past its hard limit, or without a sign of
    progress for too long.
    """
    return list(
        connection.execute(_OVERDUE, {"p_worker_id": worker_id, "p_message_ids": list(deliveries)})
    )


_CLAIMED_BY = select(
    *(o.id, o.job_id, o.token, o.attempts, o.fence, o.unknown_outcomes, o.stall_s),
    and_(o.heartbeat_deadline_at <= now(), o.hard_deadline_at > now()).label("stalled"),
).where(
    o.message_id == bindparam("p_message_id", type_=Id),
    o.state == RUNNING,
    o.worker_id == bindparam("p_worker_id", type_=String),
    o.pid == bindparam("p_pid", type_=Integer),
)


def claimed_by(
    connection: Connection, message_id: str, worker_id: str, pid: int
) -> HeldClaimRow | None:
    """The operation that this child of this worker holds under this message, and whether it has
    shown no sign for too long (`stalled`).
    """
    return connection.execute(
        _CLAIMED_BY, {"p_message_id": message_id, "p_worker_id": worker_id, "p_pid": pid}
    ).one_or_none()


_HELD_BY = select(o.id, o.job_id, o.token).where(
    o.worker_id == bindparam("p_worker_id", type_=String), o.state == RUNNING
)


def held_by(connection: Connection, worker_id: str) -> list[LeaseRow]:
    """Everything a worker holds."""
    return list(connection.execute(_HELD_BY, {"p_worker_id": worker_id}))


_RESULTS = select(o.step, o.state, o.result, o.error, o.finished_at, now().label("now")).where(
    one_of(o.id, "p_ids")
)


def results_of(
    connection: Connection, job_id: str, steps: Collection[str], item: str = ""
) -> dict[str, ResultRow]:
    """step -> its action's (state, result, error, finished_at), and the database's time (`now`)."""
    if not steps:
        return {}
    ids = [operation_id(job_id, step, item, Kind.ACTION) for step in steps]
    return {row.step: row for row in connection.execute(_RESULTS, {"p_ids": ids})}


_EXPIRED = (
    select(o.id, o.job_id, o.token)
    .where(o.state == RUNNING, o.lease_until < now())
    .order_by(o.lease_until)
    .limit(P_LIMIT)
)
_NOBODY_CAME = select(o.id, o.job_id, o.step, o.kind, j.digest).join_from(
    operations, jobs, o.job_id == j.id
)
_NOBODY_CAME = (
    _NOBODY_CAME.where(READY, o.claim_deadline_at < now())
    .order_by(o.claim_deadline_at)
    .limit(P_LIMIT)
)
_STRANDED = (
    select(o.id, o.job_id).where(o.state == PENDING, o.pending_dependencies == ZERO).limit(P_LIMIT)
)


def expired(connection: Connection, limit: int) -> list[LeaseRow]:
    return list(connection.execute(_EXPIRED, {"p_limit": limit}))


def nobody_came(connection: Connection, limit: int) -> list[UnclaimedRow]:
    """(id, job_id, step, kind, digest) of what lies ready past its time.

    What waits on past it has no such time any more.
    """
    return list(connection.execute(_NOBODY_CAME, {"p_limit": limit}))


def stranded(connection: Connection, limit: int) -> list[OperationId]:
    return list(connection.execute(_STRANDED, {"p_limit": limit}))
