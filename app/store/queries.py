"""Every read of the engine. What people see is in `views.py`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    Integer,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from surefoot.app.clock import UtcDateTime, ago, now
from surefoot.app.errors import NotFound, UnreadableDefinition
from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.reasons import LATENESS
from surefoot.app.rules.states import JobState, Kind
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.inputs import has_secrets
from surefoot.app.saga.naming import DEFAULT_TENANT
from surefoot.app.saga.words import NO_WORDS, Words
from surefoot.app.store.actors import own
from surefoot.app.store.ids import is_id, operation_id
from surefoot.app.store.rows.dead_letters import DeadLetterRow
from surefoot.app.store.rows.jobs import (
    HistoryRow,
    IdempotencyRow,
    JobInputRow,
    JobRow,
    JobTimesRow,
    LockedJobRow,
    RerunRow,
)
from surefoot.app.store.rows.operations import (
    DeliveredRow,
    HeldClaimRow,
    LeaseRow,
    MessageRow,
    OperationRow,
    OverdueRow,
    ResultRow,
    StrandedRow,
    TurnRow,
    UnclaimedRow,
)
from surefoot.app.store.rows.records import WorkerRow
from surefoot.app.store.session import reading
from surefoot.app.store.tables import (
    Id,
    dead_letters,
    definitions,
    history,
    idempotency_keys,
    jobs,
    operations,
    tenants,
    workers,
)
from surefoot.app.store.types import one_of

o, j, d = operations.c, jobs.c, dead_letters.c
QUEUED, RUNNING, WAITING, PENDING, OPEN, COMPENSATING = (
    literal_column(f"'{s}'", String)
    for s in ("queued", "running", "waiting", "pending", "open", "compensating")
)
# The state of a row that is found by its id. PostgreSQL believes a partial index to be as good as a key while it is small, and keeps that
# plan when everything that was ever queued is in it; this is no condition of any index.
STATE = o.state.concat(literal_column("''", String))
NOTHING: ColumnElement[int] = literal_column("0", Integer)
# What a move reads of its job: not its input, which may be large
JOB_OF_A_MOVE = (
    "id",
    "tenant_id",
    "digest",
    "state",
    "dir",
    "cause",
    "cancel_wish",
    "deadline_at",
    "owner",
    "seq",
    "rev",
)
P_LIMIT = bindparam("p_limit", type_=Integer)
NO_ID = "00000000-0000-0000-0000-000000000000"


# --- definitions: a digest names one graph for ever, so it is read once ------------------------------------------
@dataclass(frozen=True)
class Definition:
    """What a digest names."""

    digest: str
    version: int
    graph: Graph
    input_schema: dict[str, Any]
    words: Words = NO_WORDS

    @cached_property
    def has_secrets(self) -> bool:
        """Whether its input can have any."""
        return has_secrets(self.input_schema)


_definitions: dict[str, Definition] = {}


def definition(connection: Connection, digest: str) -> Definition:
    """What a digest names. Raises: NotFound, UnreadableDefinition."""
    if digest not in _definitions:
        c = definitions.c
        columns = (c.saga, c.version, c.graph, c.input_schema, c.words)
        row = connection.execute(select(*columns).where(c.digest == digest)).one_or_none()
        if row is None:
            raise NotFound(f"no definition {digest} is known")
        if len(_definitions) > 1000:
            _definitions.clear()
        _definitions[digest] = _read_definition(digest, row)
    return _definitions[digest]


def forget_definition(digest: str) -> None:
    """Its words or sentences were changed: this process reads it anew."""
    _definitions.pop(digest, None)


def _read_definition(digest: str, row: Any) -> Definition:
    """Raises: UnreadableDefinition, whatever is wrong with the row."""
    try:
        graph, words = Graph.from_json(row.graph), Words.from_json(row.words)
    except Exception as error:
        named = f"the definition of saga {row.saga}, version {row.version} ({digest})"
        told = f"{type(error).__name__}: {error}"[:200]
        raise UnreadableDefinition(
            f"{named} cannot be read by this code: {told}", digest=digest
        ) from error
    return Definition(digest, row.version, graph, row.input_schema, words)


def standing_of(connection: Connection, job_id: str, tenant_id: str | None) -> JobTimesRow:
    """(state, created_at, attention_since, finished_at) of a job, without its definition. Raises: NotFound."""
    j = jobs.c
    columns = (j.tenant_id, j.state, j.created_at, j.attention_since, j.finished_at)
    row = connection.execute(select(*columns).where(j.id == job_id)).one_or_none()
    if row is None or tenant_id not in (None, row.tenant_id):
        raise NotFound("There is no such job, or it is not yours.")
    return row


def graph_of(connection: Connection, digest: str) -> Graph:
    """The pinned graph of a digest. Raises: NotFound, UnreadableDefinition."""
    return definition(connection, digest).graph


LIVE_WORKER_S = 30.0  # a worker not seen for so long is not counted as serving
LIVE: ColumnElement[bool] = and_(
    definitions.c.served_at.is_not(None), definitions.c.served_at > ago(LIVE_WORKER_S)
)


def order_of_definitions(own: ColumnElement[str] | None = None) -> tuple[ColumnElement[Any], ...]:
    """The order of one saga's definitions, the current one first.

    What a live worker has comes first, the highest version before others, and of one version what was made last. Where no
    worker is there: `own` (the digest that the asking process has), then what workers had last.
    """
    c = definitions.c
    order = [case((LIVE, 1), else_=0).desc(), case((LIVE, c.version), else_=0).desc()]
    if own is not None:
        order.append(case((LIVE, 0), (c.digest == own, 1), else_=0).desc())
    order.append(case((LIVE, null()), else_=c.served_at).desc().nulls_last())
    return (*order, c.version.desc(), c.registered_at.desc(), c.digest)


def graph_of_job(connection: Connection, job_id: str) -> Graph:
    """The graph that a job is pinned to. Raises: NotFound."""
    digest = connection.execute(select(j.digest).where(j.id == job_id)).scalar_one_or_none()
    if digest is None:
        raise NotFound("there is no such job")
    return graph_of(connection, digest)


_CURRENT = (
    select(definitions.c.digest)
    .where(
        definitions.c.saga == bindparam("p_saga", type_=String), definitions.c.retired_at.is_(None)
    )
    .order_by(*order_of_definitions(bindparam("p_own", type_=String)))
    .limit(literal_column("1", Integer))
)


def current_definition(connection: Connection, saga: str, own: str = "") -> Definition | None:
    """The definition that a new job is pinned to (`order_of_definitions`), unless all are retired. `own`: the asking process's digest."""
    digest = connection.execute(_CURRENT, {"p_saga": saga, "p_own": own}).scalar_one_or_none()
    return definition(connection, digest) if digest is not None else None


def saga_names(connection: Connection) -> list[str]:
    """Every saga the catalogue knows, by name."""
    return list(
        connection.scalars(select(definitions.c.saga).distinct().order_by(definitions.c.saga))
    )


# --- one job ---------------------------------------------------------------------------------------------------
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
    """(id, saga, state) of the job that runs this one again and is open or completed; `besides` is not looked at."""
    return connection.execute(_STANDING_RERUN, {"p_id": job_id, "p_besides": besides}).one_or_none()


def unknown_job(connection: Connection, job_id: str) -> bool:
    """Whether this store has no job of that id."""
    return (
        not is_id(job_id) or connection.execute(select(j.id).where(j.id == job_id)).first() is None
    )


_JOB = select(jobs).where(j.id == bindparam("p_id", type_=Id))


def job(connection: Connection, job_id: str, by: str | None = None) -> JobRow | None:
    """A job, whole. `by`: who asks; another tenant's job is not there for them."""
    if not is_id(job_id):
        return None
    statement = _JOB.where(*own(j.tenant_id, by))
    return connection.execute(statement, {"p_id": job_id}).one_or_none()


def history_after(
    connection: Connection, job_id: str, seq: int, limit: int | None = None
) -> list[HistoryRow]:
    """The lines of a job's history after this number, in order."""
    h = history.c
    query = select(history).where(h.job_id == job_id, h.seq > seq).order_by(h.seq)
    return list(connection.execute(query.limit(limit)))


_OPERATION = select(operations).where(o.id == bindparam("p_id", type_=Id))


def open_jobs_of(connection: Connection, digest: str, limit: int) -> list[JobInputRow]:
    """(id, input) of the oldest jobs under way that are pinned to this definition."""
    few = select(j.id, j.input, j.digest).where(
        or_(j.state == RUNNING, j.state == COMPENSATING), j.digest == digest
    )
    return list(connection.execute(few.order_by(j.id).limit(limit)))


def operation(connection: Connection, operation_id: str) -> OperationRow | None:
    return connection.execute(_OPERATION, {"p_id": operation_id}).one_or_none()


_FAILING = select(o.failing_since, now()).where(o.id == bindparam("p_id", type_=Id))


def failing_s(connection: Connection, operation_id: str) -> float:
    """For how long an operation has failed, seconds; 0 where it has not."""
    since, at = connection.execute(_FAILING, {"p_id": operation_id}).one()
    return (at - since).total_seconds() if since is not None else 0.0


def past_queue_by(connection: Connection, operation_id: str) -> bool:
    """Whether the time for somebody to come is over."""
    return bool(
        connection.execute(
            select(exists().where(o.id == operation_id, o.queue_by < now()))
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
    .where(o.job_id == bindparam("p_id", type_=Id), o.no_return, o.kind != Kind.UNDO)
    .order_by(o.rank)
    .with_for_update(key_share=True)
)


def lock_no_return(tx: Connection, job_id: str) -> list[OperationRow]:
    """The rows whose claim decides that there is no way back, locked: a claim may be under way."""
    return list(tx.execute(_LOCK_NO_RETURN, {"p_id": job_id}))


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
    """Whether any operation of the job may still move, or a person is asked what is to become of one."""
    return any(connection.execute(_MOVING, {"p_id": job_id}).one())


def blocking_letters(connection: Connection, job_id: str) -> list[DeadLetterRow]:
    return list(
        connection.execute(
            select(dead_letters).where(d.job_id == job_id, d.state == OPEN, d.blocking)
        )
    )


def open_letters(connection: Connection, job_id: str) -> list[DeadLetterRow]:
    """The open dead letters of a job, oldest first."""
    query = select(dead_letters).where(d.job_id == job_id, d.state == OPEN).order_by(d.id)
    return list(connection.execute(query))


def open_letter_of(connection: Connection, operation_id: str) -> DeadLetterRow | None:
    return connection.execute(
        select(dead_letters).where(d.operation_id == operation_id, d.state == OPEN)
    ).one_or_none()


def was_retried(connection: Connection, job_id: str, operation_id: str) -> bool:
    """Whether the last decision about this operation was to try it again."""
    last = (
        select(d.resolution)
        .where(d.job_id == job_id, d.operation_id == operation_id, d.state != OPEN)
        .order_by(d.id.desc())
        .limit(1)
    )
    return connection.execute(last).scalar_one_or_none() == Resolution.RETRIED


def letter(connection: Connection, letter_id: str, by: str | None = None) -> DeadLetterRow | None:
    """`by`: who asks; another tenant's letter is not there for them."""
    query = select(dead_letters).where(d.id == letter_id, *own(d.tenant_id, by))
    return connection.execute(query).one_or_none() if is_id(letter_id) else None


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


_OVERDUE = select(o.delivery, o.pid, (o.hard_at > now()).label("stalled")).where(
    o.boot == bindparam("p_boot", type_=String),
    o.state == RUNNING,
    o.delivery.in_(bindparam("p_deliveries", type_=Id, expanding=True)),
    or_(o.hard_at <= now(), o.stall_at <= now()),
)


def overdue(connection: Connection, boot: str, deliveries: Collection[str]) -> list[OverdueRow]:
    """(delivery, pid, stalled) of what a worker holds past its hard limit, or without a sign of progress for too long."""
    return list(connection.execute(_OVERDUE, {"p_boot": boot, "p_deliveries": list(deliveries)}))


_CLAIMED_BY = select(
    *(o.id, o.job_id, o.token, o.attempts, o.fence, o.unsettled, o.stall_s),
    and_(o.stall_at <= now(), o.hard_at > now()).label("stalled"),
).where(
    o.delivery == bindparam("p_delivery", type_=Id),
    o.state == RUNNING,
    o.boot == bindparam("p_boot", type_=String),
    o.pid == bindparam("p_pid", type_=Integer),
)


def claimed_by(connection: Connection, delivery: str, boot: str, pid: int) -> HeldClaimRow | None:
    """The operation that this child of this worker holds under this message, and whether it has shown no sign for too long (`stalled`)."""
    return connection.execute(
        _CLAIMED_BY, {"p_delivery": delivery, "p_boot": boot, "p_pid": pid}
    ).one_or_none()


_HELD_BY = select(o.id, o.job_id, o.token).where(
    o.boot == bindparam("p_boot", type_=String), o.state == RUNNING
)


def held_by(connection: Connection, boot: str) -> list[LeaseRow]:
    """Everything a worker holds."""
    return list(connection.execute(_HELD_BY, {"p_boot": boot}))


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


k = idempotency_keys.c
_IDEMPOTENT = select(k.fingerprint, k.job_id).where(
    k.tenant_id == bindparam("p_tenant", type_=Id), k.key == bindparam("p_key", type_=String)
)


def idempotent(connection: Connection, tenant_id: str, key: str) -> IdempotencyRow | None:
    return connection.execute(_IDEMPOTENT, {"p_tenant": tenant_id, "p_key": key}).one_or_none()


# --- sweeps: each served by a partial index ----------------------------------------------------------------------
_READY = and_(o.state == QUEUED, o.missing == NOTHING)
_RING_ANY = select(o.id, o.job_id, o.step, o.kind, o.item, o.lane, j.saga).join_from(
    operations, jobs, o.job_id == j.id
)
_RING = _RING_ANY.where(_READY)
_UNSENT = (
    _RING.where(o.sent_at.is_(None), o.ready_at < ago(bindparam("p_older_s", type_=Float)))
    .order_by(o.ready_at)
    .limit(P_LIMIT)
)
_TO_RING = _RING_ANY.where(one_of(o.id, "p_ids"), STATE == QUEUED, o.missing == NOTHING)
_DOUBLED = literal_column("1").op("<<")(o.resent)
_BOUND_S = bindparam("p_bound_s", type_=Float)
_SENT = and_(_READY, o.sent_at.is_not(None))
_LANE, _KIND = bindparam("p_lane", type_=String), bindparam("p_kind", type_=String)
_NEXT_QUEUE = (
    select(o.lane, o.kind, now().label("at"), (o.sent_at < ago(_BOUND_S)).label("long_ago"))
    .where(_SENT, tuple_(o.lane, o.kind) > tuple_(_LANE, _KIND))
    .order_by(o.lane, o.kind, o.sent_at)
    .limit(literal_column("1", Integer))
)
_OF_QUEUE = (
    _RING.where(o.sent_at.is_not(None), o.lane == _LANE, o.kind == _KIND)
    .order_by(o.sent_at)
    .limit(P_LIMIT)
)
_SENT_LONG_AGO = _OF_QUEUE.where(o.sent_at < ago(_BOUND_S), o.sent_at < ago(_BOUND_S * _DOUBLED))
_SENT_LONG_BEFORE = _OF_QUEUE.where(o.sent_at < bindparam("p_before", type_=UtcDateTime())).where(
    o.sent_at < ago(_BOUND_S * _DOUBLED)
)
_RUNNING_OF = select(
    func.count(),
    func.max(
        case((and_(o.kind == _KIND, o.resent == NOTHING), o.sent_at), else_=null()),
        type_=UtcDateTime(),
    ),
).where(o.state == RUNNING, o.lane == _LANE)
_EXPIRED = (
    select(o.id, o.job_id, o.token)
    .where(o.state == RUNNING, o.lease_until < now())
    .order_by(o.lease_until)
    .limit(P_LIMIT)
)
_NOBODY_CAME = select(o.id, o.job_id, o.step, o.kind, j.digest).join_from(
    operations, jobs, o.job_id == j.id
)
_NOBODY_CAME = _NOBODY_CAME.where(_READY, o.queue_by < now()).order_by(o.queue_by).limit(P_LIMIT)
_STRANDED = select(o.id, o.job_id).where(o.state == PENDING, o.missing == NOTHING).limit(P_LIMIT)
_PAST_DEADLINE = (
    select(j.id)
    .where(j.deadline_at.is_not(None), j.state == RUNNING, j.deadline_at <= now())
    .order_by(j.deadline_at)
    .limit(P_LIMIT)
)
_PAST_UNDO_BY = (
    select(j.id)
    .where(j.undo_by.is_not(None), j.state == COMPENSATING, j.undo_by <= now())
    .order_by(j.undo_by)
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


def unsent(connection: Connection, older_than_s: float, limit: int) -> list[MessageRow]:
    """Ready, and no message has left; oldest and dearest first. `older_than_s` leaves those to whoever is publishing them now."""
    return list(connection.execute(_UNSENT, {"p_older_s": older_than_s, "p_limit": limit}))


@dataclass(frozen=True)
class Turn:
    """What of one tenant goes to one queue: operations of a lane and kind."""

    lane: str
    kind: str
    tenant_id: str


_SEVERAL = select(func.count()).select_from(
    select(tenants.c.id).limit(literal_column("2", Integer)).subquery()
)
_ITS_TURN = and_(
    _READY, o.lane == _LANE, o.kind == _KIND, o.tenant_id == bindparam("p_tenant", type_=Id)
)
_NOT_SENT = and_(o.sent_at.is_(None), o.ready_at < ago(bindparam("p_older_s", type_=Float)))
# By these two columns, though the order means nothing here: only the index of turns has them.
_OF_TURN = select(o.id).where(_ITS_TURN).order_by(o.sent_at, o.ready_at)
_SENT_ALREADY = _OF_TURN.where(o.sent_at.is_not(None)).limit(P_LIMIT).subquery()
_WAITING = select(func.count()).select_from(_SENT_ALREADY)
_EARLIER = _OF_TURN.where(_NOT_SENT, o.ready_at < bindparam("p_before", type_=UtcDateTime()))
_EARLIER = _EARLIER.limit(literal_column("1", Integer))
_NEXT_BACKLOG = (
    select(o.lane, o.kind, o.tenant_id)
    .where(
        _READY,
        _NOT_SENT,
        tuple_(o.lane, o.kind, o.tenant_id) > tuple_(_LANE, _KIND, bindparam("p_tenant", type_=Id)),
    )
    .order_by(o.lane, o.kind, o.tenant_id)
    .limit(literal_column("1", Integer))
)
_UNSENT_OF = _RING_ANY.where(_ITS_TURN, _NOT_SENT).order_by(o.sent_at, o.ready_at).limit(P_LIMIT)
_TURNS_OF = (
    select(o.id, o.lane, o.kind, o.tenant_id, o.ready_at)
    .where(one_of(o.id, "p_ids"), o.ready_at.is_not(None))
    .order_by(o.rank, o.id)
)


def several_tenants(connection: Connection) -> bool:
    """Whether there is more than one."""
    return connection.execute(_SEVERAL).scalar_one() > 1


def turns_of(connection: Connection, operation_ids: Collection[str]) -> list[TurnRow]:
    """(id, lane, kind, tenant_id, ready_at) of these operations, as far as they are ready, by rank."""
    return list(connection.execute(_TURNS_OF, {"p_ids": operation_ids}))


def waiting_of(connection: Connection, turn: Turn, most: int) -> int:
    """How many operations of a tenant were sent to a lane and nobody has come yet, counted up to `most`."""
    return int(connection.execute(_WAITING, _asked(turn) | {"p_limit": most}).scalar_one())


def is_behind(connection: Connection, turn: Turn, before: datetime, older_than_s: float) -> bool:
    """Whether a tenant has one for that lane that was ready before, and for so long, and is not sent."""
    asked = _asked(turn) | {"p_before": before, "p_older_s": older_than_s}
    return connection.execute(_EARLIER, asked).first() is not None


def backlogs(
    connection: Connection, after: Turn | None, older_than_s: float, limit: int
) -> list[Turn]:
    """Whose operations are ready and not sent, from `after` on, at most `limit`. From one to the
    next by the index.
    """
    found: list[Turn] = []
    turn = after or Turn("", "", NO_ID)
    while len(found) < limit:
        asked = _asked(turn) | {"p_older_s": older_than_s}
        row = connection.execute(_NEXT_BACKLOG, asked).one_or_none()
        if row is None:
            break
        turn = Turn(row.lane, row.kind, row.tenant_id)
        found.append(turn)
    return found


def unsent_of(
    connection: Connection, turn: Turn, older_than_s: float, limit: int
) -> list[MessageRow]:
    """As `unsent`, of one tenant and queue."""
    asked = _asked(turn) | {"p_older_s": older_than_s, "p_limit": limit}
    return list(connection.execute(_UNSENT_OF, asked))


def _asked(turn: Turn) -> dict[str, Any]:
    return {"p_lane": turn.lane, "p_kind": turn.kind, "p_tenant": turn.tenant_id}


def to_ring(connection: Connection, operation_ids: Collection[str]) -> list[MessageRow]:
    """What a message of these operations needs, as far as they are still ready."""
    return list(connection.execute(_TO_RING, {"p_ids": operation_ids}))


@dataclass(frozen=True)
class Queue:
    """Operations of one lane and kind that were sent and wait. `at`: the store's time when that was asked."""

    lane: str
    kind: str
    at: datetime


@dataclass(frozen=True)
class Running:
    """What runs on a lane: how much, and when the latest message was sent by which one of this queue was claimed."""

    count: int
    newest_sent: datetime | None


def sent_queues(connection: Connection, older_than_s: float) -> list[Queue]:
    """The queues whose oldest waiting message was sent so long ago. From one to the next by the index: waiting rows are not read."""
    found, lane, kind = [], "", ""
    while (
        row := connection.execute(
            _NEXT_QUEUE, {"p_lane": lane, "p_kind": kind, "p_bound_s": older_than_s}
        ).one_or_none()
    ) is not None:
        lane, kind = row.lane, row.kind
        if row.long_ago:
            found.append(Queue(lane, kind, row.at))
    return found


def sent_long_ago(
    connection: Connection, queue: Queue, bound_s: float, limit: int
) -> list[MessageRow]:
    """Of a queue: sent, and nobody came, for longer than the bound, doubled with every time it was sent again. Oldest first."""
    asked = {"p_lane": queue.lane, "p_kind": queue.kind, "p_bound_s": bound_s, "p_limit": limit}
    return list(connection.execute(_SENT_LONG_AGO, asked))


def sent_long_before(
    connection: Connection, queue: Queue, newer: datetime, bound_s: float, limit: int
) -> list[MessageRow]:
    """The same, of what was sent `bound_s` before another one of the queue that somebody came for."""
    before = newer - timedelta(seconds=bound_s)
    asked = {
        "p_lane": queue.lane,
        "p_kind": queue.kind,
        "p_bound_s": bound_s,
        "p_before": before,
        "p_limit": limit,
    }
    return list(connection.execute(_SENT_LONG_BEFORE, asked))


def running_of(connection: Connection, queue: Queue) -> Running:
    """What runs on the lane of a queue. What was sent again says nothing of the order: its first message may have been the one."""
    return Running(
        *connection.execute(_RUNNING_OF, {"p_lane": queue.lane, "p_kind": queue.kind}).one()
    )


def expired(connection: Connection, limit: int) -> list[LeaseRow]:
    return list(connection.execute(_EXPIRED, {"p_limit": limit}))


def nobody_came(connection: Connection, limit: int) -> list[UnclaimedRow]:
    """(id, job_id, step, kind, digest) of what lies ready past its time. What waits on past it has no such time any more."""
    return list(connection.execute(_NOBODY_CAME, {"p_limit": limit}))


def stranded(connection: Connection, limit: int) -> list[StrandedRow]:
    return list(connection.execute(_STRANDED, {"p_limit": limit}))


def past_deadline(connection: Connection, limit: int) -> list[str]:
    return list(connection.scalars(_PAST_DEADLINE, {"p_limit": limit}))


def past_undo_by(connection: Connection, limit: int) -> list[str]:
    return list(connection.scalars(_PAST_UNDO_BY, {"p_limit": limit}))


def idle(connection: Connection, after_id: str, limit: int) -> tuple[list[str], str]:
    """Open jobs of which nothing is live, one page of the open jobs after `after_id`. Returns (idle ids, where to go on; "" at the end)."""
    rows = list(connection.execute(_IDLE, {"p_after": after_id, "p_limit": limit}))
    return [row.id for row in rows if not row.goes_on], next(
        (row.id for row in rows if row.goes_on), ""
    )


_TIME = select(now())


def time_of(connection: Connection) -> datetime:
    """The store's time."""
    return connection.execute(_TIME).scalar_one()


# --- people and processes ----------------------------------------------------------------------------------------
def live_workers(db: Engine) -> list[WorkerRow]:
    """Workers seen lately: (boot, host, pid, concurrency, lanes, digests, started_at, seen_at)."""
    with reading(db) as connection:
        return list(
            connection.execute(
                select(workers)
                .where(workers.c.stopped_at.is_(None), workers.c.seen_at > ago(LIVE_WORKER_S))
                .order_by(workers.c.boot)
            )
        )


def digests_of_live_workers(connection: Connection) -> set[str]:
    """The digests of every definition that some worker seen lately has."""
    w = workers.c
    rows = connection.scalars(
        select(w.digests).where(w.stopped_at.is_(None), w.seen_at > ago(LIVE_WORKER_S))
    )
    return {digest for digests in rows for digest in digests}


def default_tenant_in(connection: Connection) -> str | None:
    return connection.execute(
        select(tenants.c.id).where(tenants.c.name == DEFAULT_TENANT)
    ).scalar_one_or_none()


def tenant_named(connection: Connection, tenant_id: str | None) -> str | None:
    """The name of a tenant. None: there is none of this id."""
    return (
        connection.execute(
            select(tenants.c.name).where(tenants.c.id == tenant_id)
        ).scalar_one_or_none()
        if tenant_id
        else None
    )
