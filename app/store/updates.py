"""Every write of a state column. Each is one conditional UPDATE; what it returns tells whether it landed.

Lock order (see the package's docstring) is the caller's. Where a guard names a token, the row belongs to that attempt
alone; where it names states, the caller holds the job's lock, except claim, beat, wake and mark-sent, which write
operation rows only and never look at the job: the turn writes every row that they could take.

What every operation of every job costs is built once, as a constant with parameters (`p_` and a name): building such a
statement takes longer than running it. They return what their callers read, and no input, result or checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
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
    insert,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from surefoot.app.clock import UtcDateTime, after, now
from surefoot.app.rules.states import LIVE, Kind, OpState
from surefoot.app.rules.waits import FOR_WORKER, WaitReason
from surefoot.app.store.actors import own
from surefoot.app.store.claims import Taking
from surefoot.app.store.host import host_of
from surefoot.app.store.queries import JOB_OF_A_MOVE, STATE
from surefoot.app.store.rows.jobs import LockedJobRow
from surefoot.app.store.rows.operations import (
    BriefOperationRow,
    ClaimedWorkRow,
    ClaimRow,
    OperationRow,
)
from surefoot.app.store.shapes import Shaped
from surefoot.app.store.tables import (
    Id,
    dead_letters,
    history,
    idempotency_keys,
    jobs,
    operations,
    tenants,
    workers,
)
from surefoot.app.store.types import one_of, results_by_step

o = operations.c
QUEUED, RUNNING, WAITING, PENDING = (
    literal_column(f"'{s}'", String) for s in ("queued", "running", "waiting", "pending")
)
ZERO, ONE = literal_column("0", Integer), literal_column("1", Integer)
BRIEF = (
    o.id,
    o.job_id,
    o.step,
    o.kind,
    o.item,
    o.rank,
    o.state,
    o.missing,
    o.attempts,
    o.fence,
    o.unsettled,
)


# --- the job ---------------------------------------------------------------------------------------------------
def _this_job() -> Update:
    return update(jobs).where(jobs.c.id == bindparam("p_id", type_=Id))


_CHANGE_JOB = Shaped(_this_job, lambda change: change)
_END_JOB = Shaped(_this_job, lambda change: change.returning(jobs.c.created_at, jobs.c.finished_at))


def change_job(tx: Connection, job_id: str, changes: dict[str, Any]) -> float | None:
    """Write what a move decided about its job. The caller holds the job's lock.

    Returns how long the job took, seconds, where this ends it.
    """
    ends = "finished_at" in changes
    change, values = (_END_JOB if ends else _CHANGE_JOB).setting(changes)
    found = tx.execute(change, values | {"p_id": job_id})
    if not ends:
        return None
    accepted, ended = found.one()
    return max(0.0, float((ended - accepted).total_seconds()))


_LOCK_NOTING = (
    update(jobs)
    .where(jobs.c.id == bindparam("p_id", type_=Id))
    .values(seq=jobs.c.seq + ONE, rev=jobs.c.rev + ONE)
    .returning(*(jobs.c[name] for name in JOB_OF_A_MOVE))
)


def lock_job_noting(tx: Connection, job_id: str) -> LockedJobRow | None:
    """Lock the job for a move that writes one line of history at least, and number that line: one write of the job, not two."""
    return tx.execute(_LOCK_NOTING, {"p_id": job_id}).one_or_none()


_ADD_HISTORY = insert(history)


def add_history(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Append events; `seq` was given out under the job's lock."""
    tx.execute(_ADD_HISTORY, rows[0] if len(rows) == 1 else list(rows))


# --- new operations --------------------------------------------------------------------------------------------
_TAKE_KEY = {
    "sqlite": sqlite.insert(idempotency_keys)
    .on_conflict_do_nothing()
    .returning(idempotency_keys.c.job_id),
    "postgresql": postgresql.insert(idempotency_keys)
    .on_conflict_do_nothing()
    .returning(idempotency_keys.c.job_id),
}


def take_idempotency_key(
    tx: Connection, tenant_id: str, key: str, fingerprint: str, job_id: str
) -> bool:
    """Bind a key to its job. False: another job has it. Waits for a transaction that is about to take it."""
    statement = _TAKE_KEY[tx.dialect.name]
    row = {"tenant_id": tenant_id, "key": key, "fingerprint": fingerprint, "job_id": job_id}
    return tx.execute(statement, row).first() is not None


_IS_READY = bindparam("p_ready", type_=Integer) == ONE
_NEW_OPERATION = insert(operations).values(
    ready_at=case((_IS_READY, now()), else_=null()),
    queue_by=case((_IS_READY, after(bindparam("p_queue_s", type_=Float))), else_=null()),
)
_THESE = select(*BRIEF).where(one_of(o.id, "p_ids"))


def insert_operations(
    tx: Connection, rows: Sequence[dict[str, Any]], *, answer: bool = True
) -> list[BriefOperationRow]:
    """New operations (`rows.new_operation`); those that miss nothing are ready now. Returns the ready ones, if an answer is wanted."""
    tx.execute(
        _NEW_OPERATION,
        [row | {"p_ready": int(row["missing"] == 0), "p_queue_s": row["queue_s"]} for row in rows],
    )
    ready = [row["id"] for row in rows if row["missing"] == 0] if answer else []
    return list(tx.execute(_THESE, {"p_ids": ready})) if ready else []


# --- one attempt -----------------------------------------------------------------------------------------------
_TAKEN = (
    update(operations)
    .where(
        o.id == bindparam("p_id", type_=Id),
        o.missing == ZERO,
        o.stop.is_(False),
        o.attempts < o.allowance,
        or_(o.state == QUEUED, and_(o.state == RUNNING, o.lease_until < now())),
    )
    .values(
        state=RUNNING,
        fence=o.fence + ONE,
        token=(o.fence + ONE).cast(String) + bindparam("p_token", type_=String),
        boot=bindparam("p_boot", type_=String),
        pid=bindparam("p_pid", type_=Integer),
        delivery=bindparam("p_delivery", type_=Id),
        attempts=o.attempts + ONE,
        started=true(),
        unsettled=o.unsettled + case((o.effectful, ONE), else_=ZERO),
        lease_until=after(bindparam("p_lease_s", type_=Float)),
        hard_at=after(bindparam("p_hard_s", type_=Float)),
        stall_at=after(o.stall_s),  # null where nothing is said
        due_at=null(),
        wait=null(),
        progress=null(),
        started_at=func.coalesce(o.started_at, now()),
    )
)
_ATTEMPT = (o.id, o.job_id, o.token, o.attempts, o.fence, o.unsettled)
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
        .where(before, or_(_before.c.state == "completed", _before.c.state == "skipped"))
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


# After one step at most, as most are; or after several: for an array PostgreSQL plans anew each time (see `wide`).
_CLAIM_AFTER_ONE = _claim_to_work(_before.c.id == bindparam("p_before", type_=Id))
_CLAIM_AFTER_SEVERAL = _claim_to_work(one_of(_before.c.id, "p_before"))


def claim_operation(tx: Connection, taking: Taking) -> ClaimRow | None:
    """Take an operation that is ready and allowed: queued, or running under a lease that has run out.

    The attempt is counted here, before any code of a user runs. Returns (id, job_id, token, attempts, fence, unsettled); None:
    somebody else has it, it is not ready, it is out of attempts, or the job has turned.
    """
    return tx.execute(_CLAIM, _claim(tx, taking)).one_or_none()


def claim_first_attempt(tx: Connection, taking: Taking) -> ClaimRow | None:
    """As `claim_operation`, if nobody has tried it before: what a delivery comes to by itself, not by that operation's message."""
    return tx.execute(_CLAIM_FIRST, _claim(tx, taking)).one_or_none()


def claim_to_work(
    tx: Connection,
    taking: Taking,
    *,
    of: tuple[str, str, str, str],
    digest: str,
    before: Sequence[str],
) -> ClaimedWorkRow | None:
    """As `claim_operation`, if it is what the message says and its job is pinned to this definition; and what its step is done with.

    `of`: its job, step, kind and item; `before`: ids of the operations whose results it takes. Returns also `checkpoint`,
    its job's `input`, `traceparent` and `tenant` (name), and `results` of those that were done when
    this statement began: it may have waited for the
    row, so one can be missing.
    """
    named = dict(zip(("p_job", "p_step", "p_kind", "p_item"), of, strict=True))
    several = len(before) > 1
    values = (
        _claim(tx, taking)
        | named
        | {"p_digest": digest, "p_before": before if several else before[0] if before else None}
    )
    return tx.execute(_CLAIM_AFTER_SEVERAL if several else _CLAIM_AFTER_ONE, values).one_or_none()


def _claim(tx: Connection, taking: Taking) -> dict[str, Any]:
    return {
        "p_id": taking.operation_id,
        "p_token": "." + host_of(tx).new_token(),
        "p_boot": taking.boot,
        "p_pid": taking.pid,
        "p_delivery": taking.delivery,
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
        state=literal_column("'completed'", String),
        result=bindparam("p_result", type_=operations.c.result.type),
        unsettled=ZERO,
        stop=false(),
        lease_until=null(),
        hard_at=null(),
        stall_at=null(),
        finished_at=now(),
        error=null(),
    )
    .returning(*BRIEF)
)


def finish_running_operation(
    tx: Connection, operation_id: str, token: str, result: Any
) -> BriefOperationRow | None:
    """running -> completed, by the attempt that holds it. The job's direction is not asked: what happened, happened. Returns BRIEF."""
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
    """running -> failed | waiting | queued | abandoned, by the attempt that holds it (or for it, once its lease has run out)."""
    form = _END_EXPIRED if expired_only else _END
    end, given = form.setting({"lease_until": None, "hard_at": None, **values})
    return tx.execute(end, given | {"p_id": operation_id, "p_token": token}).one_or_none()


def note_nobody_came(tx: Connection, operation_ids: Collection[str]) -> int:
    """Ready past its time, and it waits on: its clock is taken away, which is how it is told from the others. Returns how many."""
    those = and_(one_of(o.id, "p_ids"), STATE == QUEUED, o.missing == ZERO, o.queue_by < now())
    return tx.execute(
        update(operations).where(those).values(queue_by=null()), {"p_ids": operation_ids}
    ).rowcount


def fail_unclaimed(tx: Connection, operation_id: str) -> OperationRow | None:
    """queued -> failed: nobody came in time. None: somebody has."""
    return tx.execute(
        update(operations)
        .where(o.id == operation_id, STATE == QUEUED, o.missing == 0, o.queue_by < now())
        .values(state=OpState.FAILED, finished_at=now())
        .returning(*operations.c)
    ).one_or_none()


def note_progress(tx: Connection, operation_id: str, token: str, values: dict[str, Any]) -> bool:
    """Progress, a checkpoint or another sign of a running attempt. False: the lease is lost."""
    statement = (
        update(operations)
        .where(_of_attempt(operation_id, token))
        .values(**values, stall_at=after(o.stall_s))
    )
    return tx.execute(statement).rowcount == 1


_RENEW = (
    update(operations)
    .where(
        o.boot == bindparam("p_boot", type_=String),
        o.state == RUNNING,
        o.delivery.in_(bindparam("p_deliveries", type_=Id, expanding=True)),
        o.hard_at > now(),
        or_(o.stall_at.is_(None), o.stall_at > now()),
    )
    .values(lease_until=after(bindparam("p_lease_s", type_=Float)))
    .returning(o.delivery)
)


def renew_leases(
    tx: Connection, boot: str, deliveries: Collection[str], lease_s: float
) -> set[str]:
    """One heartbeat for everything a worker's children are at, unless past its hard limit or stalled. Returns the deliveries renewed."""
    return set(
        tx.scalars(_RENEW, {"p_boot": boot, "p_deliveries": list(deliveries), "p_lease_s": lease_s})
    )


# --- what becomes ready ----------------------------------------------------------------------------------------
_LAST = o.missing == ONE
_LOWER = (
    update(operations)
    .where(one_of(o.id, "p_ids"), or_(o.state == PENDING, o.state == QUEUED))
    .values(
        missing=o.missing - ONE,
        state=case((_LAST, QUEUED), else_=o.state),
        ready_at=case((_LAST, now()), else_=o.ready_at),
        queue_by=case((_LAST, after(o.queue_s)), else_=o.queue_by),
        sent_at=case(
            (and_(_LAST, one_of(o.id, "p_carried")), now()), (_LAST, null()), else_=o.sent_at
        ),
    )
    .returning(*BRIEF)
)


def lower_missing(
    tx: Connection, operation_ids: Collection[str], carried: Collection[str] = ()
) -> list[BriefOperationRow]:
    """One dependency less for these pending or queued operations; what reaches 0 is queued at once, so that no crash strands it.

    `carried`: those whose message the completing delivery sends next count as sent. Returns BRIEF of each that was lowered.
    """
    return list(tx.execute(_LOWER, {"p_ids": operation_ids, "p_carried": carried}))


READY_NOW: dict[str, Any] = {
    "state": OpState.QUEUED,
    "ready_at": now(),
    "sent_at": None,
    "resent": 0,
    "due_at": None,
    "wait": None,
    "finished_at": None,
}


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
            .where(o.id.in_(operation_ids), o.state == only, o.missing == 0)
            .values(**READY_NOW, queue_by=after(o.queue_s), **(extra or {}))
            .returning(*operations.c)
        )
    )


_RIDE = update(operations).where(one_of(o.id, "p_ids"), o.state == PENDING).values(state=QUEUED)


def ride_along(tx: Connection, operation_ids: Collection[str]) -> None:
    """pending -> queued for operations that an earlier message of their chain carries. Only ready ones can be claimed."""
    if operation_ids:
        tx.execute(_RIDE, {"p_ids": operation_ids})


_READY = and_(one_of(o.id, "p_ids"), STATE == QUEUED, o.missing == ZERO)
_MARK_SENT = update(operations).where(_READY).values(sent_at=now())
_MARK_ONE_SENT = (
    update(operations)
    .where(o.id == bindparam("p_id", type_=Id), STATE == QUEUED, o.missing == ZERO)
    .values(sent_at=now())
)
_MARK_UNSENT = update(operations).where(_READY).values(sent_at=null())


def mark_sent(tx: Connection, operation_ids: Collection[str]) -> None:
    """Their messages have left. n=0 is normal: claimed already."""
    if (
        len(operation_ids) == 1
    ):  # most often. PostgreSQL plans an array of one anew every time: any number of ids looks dearer
        tx.execute(_MARK_ONE_SENT, {"p_id": next(iter(operation_ids))})
    elif operation_ids:
        tx.execute(_MARK_SENT, {"p_ids": operation_ids})


def mark_unsent(tx: Connection, operation_ids: Collection[str]) -> None:
    """Their messages did not leave after all: the next sweep sends them."""
    tx.execute(_MARK_UNSENT, {"p_ids": operation_ids})


_MARK_SENT_AGAIN = (
    update(operations)
    .where(_READY)
    .values(sent_at=now(), resent=case((o.resent < 6, o.resent + 1), else_=6))
)


def mark_sent_again(tx: Connection, operation_ids: Collection[str]) -> None:
    """Their messages were lost and have left again."""
    if operation_ids:
        tx.execute(_MARK_SENT_AGAIN, {"p_ids": operation_ids})


_FORGET = (
    update(operations)
    .where(
        o.id.in_(
            select(o.id)
            .where(
                o.state == QUEUED,
                o.missing == ZERO,
                o.sent_at.is_not(None),
                o.sent_at <= bindparam("p_until", type_=UtcDateTime()),
            )
            .limit(bindparam("p_limit", type_=Integer))
        ),
        STATE == QUEUED,
    )
    .values(sent_at=null())
)


def forget_sent(tx: Connection, until: datetime, limit: int) -> int:
    """The broker lost what it had: what is queued and was sent by then counts as not sent, at most `limit` of it. Returns how many."""
    return tx.execute(_FORGET, {"p_until": until, "p_limit": limit}).rowcount


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
        queue_by=case((o.wait.in_(FOR_WORKER), o.queue_by), else_=after(o.queue_s)),
    )
    .returning(o.id)
)


def wake_due(tx: Connection, limit: int) -> list[str]:
    """waiting -> queued where the time has come. Never waits for a row. Returns the ids, to be rung at once.

    The clock for somebody to come goes on where it waited for somebody who can: a worker with its definition, or
    with code that can read what is stored.
    """
    return list(tx.scalars(_WAKE, {"p_limit": limit}))


def wait_for_version(tx: Connection, operation_id: str, seconds: float) -> bool:
    """queued -> waiting: this worker lacks the definition; no attempt is used. Not past its time: then the sweep has it."""
    return (
        tx.execute(
            update(operations)
            .where(
                o.id == operation_id,
                STATE == QUEUED,
                o.missing == 0,
                or_(o.queue_by.is_(None), o.queue_by > now()),
            )
            .values(state=OpState.WAITING, wait=WaitReason.VERSION, due_at=after(seconds))
        ).rowcount
        == 1
    )


# --- the turn --------------------------------------------------------------------------------------------------
def drop_waiting_actions(tx: Connection, job_id: str) -> None:
    """Actions that are not running -> abandoned if they ever started, else dropped. After this nothing forward can be claimed."""
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
            wait=None,
            finished_at=now(),
        )
    )


def stop_running_actions(tx: Connection, job_id: str) -> None:
    """Ask every running action to end."""
    tx.execute(
        update(operations)
        .where(o.job_id == job_id, o.kind == Kind.ACTION, o.state == RUNNING)
        .values(stop=True)
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


# --- a person's word -------------------------------------------------------------------------------------------
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


def close_letter(tx: Connection, letter_id: str, *, resolution: str, actor: str, why: str) -> bool:
    """open -> closed. False: somebody else closed it."""
    d = dead_letters.c
    return (
        tx.execute(
            update(dead_letters)
            .where(d.id == letter_id, d.state == "open", *own(d.tenant_id, actor))
            .values(
                state="closed",
                resolution=resolution,
                resolved_by=actor,
                resolved_why=why,
                closed_at=now(),
            )
        ).rowcount
        == 1
    )


# --- the register of workers -----------------------------------------------------------------------------------
def see_worker(tx: Connection, boot: str, at_work: Mapping[str, Any] | None = None) -> bool:
    """`at_work`: what it does now, by column."""
    seen = update(workers).where(workers.c.boot == boot)
    return tx.execute(seen.values(seen_at=now(), stopped_at=None, **(at_work or {}))).rowcount == 1


def stop_worker(tx: Connection, boot: str) -> set[str]:
    """Returns the digests of the definitions it had."""
    stopped = (
        update(workers)
        .where(workers.c.boot == boot)
        .values(stopped_at=now())
        .returning(workers.c.digests)
    )
    return {digest for digests in tx.scalars(stopped) for digest in digests}
