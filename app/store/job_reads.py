"""Reads of jobs, for the engine. What people see of them is in `views`."""

from __future__ import annotations

from sqlalchemy import (
    Connection,
    Integer,
    String,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from surefoot.app.clock import now
from surefoot.app.errors import NotFound
from surefoot.app.rules.events import HistoryEvent, stored
from surefoot.app.rules.reasons import LATENESS
from surefoot.app.rules.states import JobState
from surefoot.app.store.actors import own
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.jobs import (
    EventTimeRow,
    HistoryRow,
    IdempotencyRow,
    JobInputRow,
    JobRow,
    JobTimesRow,
    LockedJobRow,
    RerunRow,
)
from surefoot.app.store.statements import (
    COMPENSATING,
    JOB_OF_A_MOVE,
    NO_ID,
    OPEN,
    P_LIMIT,
    PENDING,
    QUEUED,
    RUNNING,
    WAITING,
)
from surefoot.app.store.tables import Id, dead_letters, history, idempotency_keys, jobs, operations

o, j, d, k = operations.c, jobs.c, dead_letters.c, idempotency_keys.c


def standing_of(connection: Connection, job_id: str, tenant_id: str | None) -> JobTimesRow:
    """(state, created_at, attention_since, finished_at) of a job, without its definition.

    Raises: NotFound.
    """
    j = jobs.c
    columns = (j.tenant_id, j.state, j.created_at, j.attention_since, j.finished_at)
    row = connection.execute(select(*columns).where(j.id == job_id)).one_or_none()
    if row is None or tenant_id not in (None, row.tenant_id):
        raise NotFound("There is no such job, or it is not yours.")
    return row


_LOCK_JOB = (
    select(*(j[name] for name in JOB_OF_A_MOVE))
    .where(j.id == bindparam("p_id", type_=Id))
    .with_for_update(key_share=True)
)


def lock_job(tx: Connection, job_id: str, by: str | None = None) -> LockedJobRow:
    """The job's JOB_OF_A_MOVE, locked until the transaction ends.

    FOR NO KEY UPDATE: a history row's foreign key takes FOR KEY SHARE. `by`: the person who asks. A
    job never changes its tenant, so under this lock what is written by the job's id is written to a
    job of that person's tenant. Raises: NotFound, also for another tenant's job.
    """
    guards = own(j.tenant_id, by)
    statement = _LOCK_JOB.where(*guards) if guards else _LOCK_JOB
    row = tx.execute(statement, {"p_id": job_id}).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    return row


_STANDING_RERUN = (
    select(j.id, j.saga, j.state)
    .where(
        j.retry_of == bindparam("p_id", type_=Id),
        j.id != bindparam("p_besides", type_=Id),
        j.state.not_in((JobState.FAILED, JobState.CANCELLED)),
    )
    .limit(literal_column("1", Integer))
)


def standing_rerun(connection: Connection, job_id: str, besides: str = NO_ID) -> RerunRow | None:
    """(id, saga, state) of the job that runs this one again and is open or completed; `besides` is
    not looked at.
    """
    return connection.execute(_STANDING_RERUN, {"p_id": job_id, "p_besides": besides}).one_or_none()


def unknown_job(connection: Connection, job_id: str) -> bool:
    """Whether this store has no job of that id."""
    return (
        not is_id(job_id) or connection.execute(select(j.id).where(j.id == job_id)).first() is None
    )


_JOB = select(jobs).where(j.id == bindparam("p_id", type_=Id))


def job(connection: Connection, job_id: str, by: str | None = None) -> JobRow:
    """A job, whole. `by`: the actor. Raises: NotFound, also for another tenant's job."""
    statement = _JOB.where(*own(j.tenant_id, by))
    row = connection.execute(statement, {"p_id": job_id}).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    return row


def history_after(
    connection: Connection, job_id: str, seq: int, limit: int | None = None
) -> list[HistoryRow]:
    """The lines of a job's history after this number, in order."""
    h = history.c
    query = select(history).where(h.job_id == job_id, h.seq > seq).order_by(h.seq)
    return list(connection.execute(query.limit(limit)))


def first_event(connection: Connection, job_id: str, event: HistoryEvent) -> EventTimeRow | None:
    """When the job's history has this event first, and whose act it was."""
    h = history.c
    return connection.execute(
        select(h.at, h.actor)
        .where(h.job_id == job_id, h.event.in_(stored(event)))
        .order_by(h.seq)
        .limit(1)
    ).one_or_none()


def count_open(connection: Connection, tenant_id: str, most: int) -> int:
    """Open jobs of a tenant, counted up to `most`, in the index of states.

    One that needs a person is not counted.
    """
    found = (
        select(jobs.c.id)
        .where(
            jobs.c.tenant_id == tenant_id,
            literal_column("state <> 'completed'"),
            jobs.c.state.in_((JobState.RUNNING, JobState.COMPENSATING)),
        )
        .limit(most)
        .subquery()
    )
    return connection.scalar(select(func.count()).select_from(found)) or 0


def open_jobs_of(connection: Connection, digest: str, limit: int) -> list[JobInputRow]:
    """(id, input) of the oldest jobs under way that are pinned to this definition."""
    few = select(j.id, j.input, j.digest).where(
        or_(j.state == RUNNING, j.state == COMPENSATING), j.digest == digest
    )
    return list(connection.execute(few.order_by(j.id).limit(limit)))


_MOVING = select(
    exists().where(
        o.job_id == bindparam("p_id", type_=Id),
        or_(o.state == PENDING, o.state == QUEUED, o.state == RUNNING, o.state == WAITING),
    ),
    exists().where(
        d.job_id == bindparam("p_id", type_=Id), d.state == OPEN, d.blocking, d.why.not_in(LATENESS)
    ),
)


def may_move(connection: Connection, job_id: str) -> bool:
    """Whether any operation of the job may still move, or a person is asked what is to become of
    one.
    """
    return any(connection.execute(_MOVING, {"p_id": job_id}).one())


_IDEMPOTENT = select(k.fingerprint, k.job_id).where(
    k.tenant_id == bindparam("p_tenant", type_=Id), k.key == bindparam("p_key", type_=String)
)


def idempotent(connection: Connection, tenant_id: str, key: str) -> IdempotencyRow | None:
    return connection.execute(_IDEMPOTENT, {"p_tenant": tenant_id, "p_key": key}).one_or_none()


_PAST_DEADLINE = (
    select(j.id)
    .where(j.deadline_at.is_not(None), j.state == RUNNING, j.deadline_at <= now())
    .order_by(j.deadline_at)
    .limit(P_LIMIT)
)
_PAST_UNDO_BY = (
    select(j.id)
    .where(j.undo_deadline_at.is_not(None), j.state == COMPENSATING, j.undo_deadline_at <= now())
    .order_by(j.undo_deadline_at)
    .limit(P_LIMIT)
)
_OPEN_JOBS = (
    select(j.id)
    .where(or_(j.state == RUNNING, j.state == COMPENSATING), j.id > bindparam("p_after", type_=Id))
    .order_by(j.id)
    .limit(P_LIMIT)
)
_PAGE = _OPEN_JOBS.cte("page")
_MOVES = exists().where(
    o.job_id == _PAGE.c.id,
    or_(o.state == PENDING, o.state == QUEUED, o.state == RUNNING, o.state == WAITING),
)
_END_OF_PAGE = (
    select(_PAGE.c.id).order_by(_PAGE.c.id).limit(1).offset(P_LIMIT - 1).subquery()
)  # none where the page is not full
_IDLE = union_all(
    select(_PAGE.c.id, false().label("goes_on")).where(~_MOVES), select(_END_OF_PAGE.c.id, true())
)


def past_deadline(connection: Connection, limit: int) -> list[str]:
    return list(connection.scalars(_PAST_DEADLINE, {"p_limit": limit}))


def past_undo_deadline(connection: Connection, limit: int) -> list[str]:
    return list(connection.scalars(_PAST_UNDO_BY, {"p_limit": limit}))


def idle(connection: Connection, after_id: str, limit: int) -> tuple[list[str], str]:
    """Open jobs without a live operation, one page of the open jobs after `after_id`.

    Returns (idle ids, where to go on; "" at the end).
    """
    rows = list(connection.execute(_IDLE, {"p_after": after_id, "p_limit": limit}))
    return [row.id for row in rows if not row.goes_on], next(
        (row.id for row in rows if row.goes_on), ""
    )
