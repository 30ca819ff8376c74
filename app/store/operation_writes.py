"""Writes of an operation's state beside its attempts: made, released, woken, dropped, decided.

Each is one conditional UPDATE; what it returns tells whether it landed. Where a guard names states,
the caller holds the job's lock, except `wake_due`, which writes operation rows only and never looks
at the job: the turn writes every row that it could take.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    and_,
    bindparam,
    case,
    insert,
    null,
    or_,
    select,
    update,
)

from surefoot.app.clock import after, now
from surefoot.app.rules.states import LIVE, Kind, OpState
from surefoot.app.rules.waits import FOR_WORKER, WaitReason
from surefoot.app.store.rows.operations import BriefOperationRow, OperationRow
from surefoot.app.store.statements import (
    BRIEF,
    ONE,
    PENDING,
    QUEUED,
    READY_NOW,
    RUNNING,
    STATE,
    WAITING,
    ZERO,
)
from surefoot.app.store.tables import operations
from surefoot.app.store.types import one_of

o = operations.c

_IS_READY = bindparam("p_ready", type_=Integer) == ONE
_NEW_OPERATION = insert(operations).values(
    ready_at=case((_IS_READY, now()), else_=null()),
    claim_deadline_at=case((_IS_READY, after(bindparam("p_queue_s", type_=Float))), else_=null()),
)
_THESE = select(*BRIEF).where(one_of(o.id, "p_ids"))


def insert_operations(
    tx: Connection, rows: Sequence[dict[str, Any]], *, answer: bool = True
) -> list[BriefOperationRow]:
    """New operations (`rows.new_operation`); those that miss nothing are ready now.

    Returns the ready ones, if an answer is wanted.
    """
    tx.execute(
        _NEW_OPERATION,
        [
            row | {"p_ready": int(row["pending_dependencies"] == 0), "p_queue_s": row["queue_s"]}
            for row in rows
        ],
    )
    ready = [row["id"] for row in rows if row["pending_dependencies"] == 0] if answer else []
    return list(tx.execute(_THESE, {"p_ids": ready})) if ready else []


def note_nobody_came(tx: Connection, operation_ids: Collection[str]) -> int:
    """Ready past its time, and it waits on: its clock is taken away, which is how it is told from
    the others. Returns how many.
    """
    those = and_(
        one_of(o.id, "p_ids"),
        STATE == QUEUED,
        o.pending_dependencies == ZERO,
        o.claim_deadline_at < now(),
    )
    return tx.execute(
        update(operations).where(those).values(claim_deadline_at=null()), {"p_ids": operation_ids}
    ).rowcount


def fail_unclaimed(tx: Connection, operation_id: str) -> OperationRow | None:
    """queued -> failed: nobody came in time. None: somebody has."""
    return tx.execute(
        update(operations)
        .where(
            o.id == operation_id,
            STATE == QUEUED,
            o.pending_dependencies == 0,
            o.claim_deadline_at < now(),
        )
        .values(state=OpState.FAILED, finished_at=now())
        .returning(*operations.c)
    ).one_or_none()


_LAST = o.pending_dependencies == ONE
_LOWER = (
    update(operations)
    .where(one_of(o.id, "p_ids"), or_(o.state == PENDING, o.state == QUEUED))
    .values(
        pending_dependencies=o.pending_dependencies - ONE,
        state=case((_LAST, QUEUED), else_=o.state),
        ready_at=case((_LAST, now()), else_=o.ready_at),
        claim_deadline_at=case((_LAST, after(o.queue_s)), else_=o.claim_deadline_at),
        sent_at=case(
            (and_(_LAST, one_of(o.id, "p_carried")), now()), (_LAST, null()), else_=o.sent_at
        ),
    )
    .returning(*BRIEF)
)


def lower_missing(
    tx: Connection, operation_ids: Collection[str], carried: Collection[str] = ()
) -> list[BriefOperationRow]:
    """One dependency less for these pending or queued operations; what reaches 0 is queued at once,
    so that no crash strands it.

    `carried`: those whose message the completing delivery sends next count as sent. Returns BRIEF
    of each that was lowered.
    """
    return list(tx.execute(_LOWER, {"p_ids": operation_ids, "p_carried": carried}))


def queue_operations(
    tx: Connection,
    operation_ids: Collection[str],
    *,
    only: OpState,
    extra: dict[str, Any] | None = None,
) -> list[OperationRow]:
    """`only` -> queued, for operations that wait for nothing."""
    return list(
        tx.execute(
            update(operations)
            .where(o.id.in_(operation_ids), o.state == only, o.pending_dependencies == 0)
            .values(**READY_NOW, claim_deadline_at=after(o.queue_s), **(extra or {}))
            .returning(*operations.c)
        )
    )


_DUE = and_(o.state == WAITING, o.due_at <= now())
_WAKE = (
    update(operations)
    .where(
        o.id.in_(
            select(o.id)
            .where(_DUE)
            .order_by(o.due_at)
            .limit(bindparam("p_limit", type_=Integer))
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        ),
        _DUE,
    )
    .values(
        **READY_NOW,
        claim_deadline_at=case(
            (o.wait_reason.in_(FOR_WORKER), o.claim_deadline_at), else_=after(o.queue_s)
        ),
    )
    .returning(o.id)
)


def wake_due(tx: Connection, limit: int) -> list[str]:
    """waiting -> queued where the time has come.

    Never waits for a row. Returns the ids, to be rung at once.

    The clock for somebody to come goes on where it waited for somebody who can: a worker with its
    definition, or with code that can read what is stored.
    """
    return list(tx.scalars(_WAKE, {"p_limit": limit}))


def wait_for_version(tx: Connection, operation_id: str, seconds: float) -> bool:
    """queued -> waiting: this worker lacks the definition; no attempt is used.

    Not past its time: then the sweep has it.
    """
    return (
        tx.execute(
            update(operations)
            .where(
                o.id == operation_id,
                STATE == QUEUED,
                o.pending_dependencies == 0,
                or_(o.claim_deadline_at.is_(None), o.claim_deadline_at > now()),
            )
            .values(state=OpState.WAITING, wait_reason=WaitReason.VERSION, due_at=after(seconds))
        ).rowcount
        == 1
    )


def drop_waiting_actions(tx: Connection, job_id: str) -> None:
    """Actions that are not running -> abandoned if they ever started, else dropped.

    After this nothing forward can be claimed.
    """
    tx.execute(
        update(operations)
        .where(
            o.job_id == job_id,
            o.kind == Kind.ACTION,
            o.state.in_((OpState.PENDING, OpState.QUEUED, OpState.WAITING)),
        )
        .values(
            state=case((o.started, OpState.ABANDONED), else_=OpState.DROPPED),
            due_at=None,
            wait_reason=None,
            finished_at=now(),
        )
    )


def stop_running_actions(tx: Connection, job_id: str) -> None:
    """Ask every running action to end."""
    tx.execute(
        update(operations)
        .where(o.job_id == job_id, o.kind == Kind.ACTION, o.state == RUNNING)
        .values(stop_requested=True)
    )


def skip_operation(
    tx: Connection, job_id: str, step: str, item: str, kind: Kind
) -> OperationRow | None:
    """live -> skipped: it has nothing to do."""
    return tx.execute(
        update(operations)
        .where(
            o.job_id == job_id,
            o.step == step,
            o.item == item,
            o.kind == kind,
            o.state.in_(LIVE),
            o.state != RUNNING,
        )
        .values(state=OpState.SKIPPED, finished_at=now())
        .returning(*operations.c)
    ).one_or_none()


def decide_failed_operation(
    tx: Connection, operation_id: str, values: dict[str, Any]
) -> OperationRow | None:
    """failed -> what a person decided. None: it is not failed any more."""
    return tx.execute(
        update(operations)
        .where(o.id == operation_id, o.state == OpState.FAILED)
        .values(**values)
        .returning(*operations.c)
    ).one_or_none()
