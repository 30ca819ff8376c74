"""Every read of the engine. What people see is in `views.py`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Integer, String, and_, bindparam, case, exists, literal_column, or_, select

from app.clock import ago, now
from app.errors import NotFound
from app.rules.states import LIVE, Kind
from app.saga.graph import Graph
from app.store.ids import is_id, operation_id
from app.store.session import reading
from app.store.tables import Id, dead_letters, definitions, idempotency_keys, jobs, operations, tenants, workers
from app.store.types import AnyRow, one_of

o, j, d = operations.c, jobs.c, dead_letters.c
QUEUED, RUNNING, WAITING, PENDING, OPEN, COMPENSATING = (
    literal_column(f"'{s}'", String) for s in ("queued", "running", "waiting", "pending", "open", "compensating")
)
NOTHING: ColumnElement[int] = literal_column("0", Integer)
# What a move reads of its job: not its input, which may be large
JOB_OF_A_MOVE = ("id", "tenant_id", "digest", "state", "dir", "cause", "cancel_wish", "deadline_at", "owner", "seq", "rev")
LIVE_WORKER_S = 30.0  # a worker not seen for so long is not counted as serving


# --- definitions: a digest names one graph for ever, so it is read once ------------------------------------------
@dataclass(frozen=True)
class Definition:
    """What a digest names."""

    digest: str
    version: int
    graph: Graph
    input_schema: dict[str, Any]


_definitions: dict[str, Definition] = {}


def definition(connection: Connection, digest: str) -> Definition:
    """What a digest names. Raises: NotFound."""
    if digest not in _definitions:
        c = definitions.c
        row = connection.execute(select(c.version, c.graph, c.input_schema).where(c.digest == digest)).one_or_none()
        if row is None:
            raise NotFound(f"no definition {digest} is known")
        if len(_definitions) > 1000:
            _definitions.clear()
        _definitions[digest] = Definition(digest, row.version, Graph.from_json(row.graph), row.input_schema)
    return _definitions[digest]


def graph_of(connection: Connection, digest: str) -> Graph:
    """The pinned graph of a digest. Raises: NotFound."""
    return definition(connection, digest).graph


_CURRENT = (
    select(definitions.c.digest)
    .where(definitions.c.saga == bindparam("p_saga", type_=String))
    .order_by(definitions.c.version.desc(), definitions.c.registered_at.desc())
    .limit(literal_column("1", Integer))
)


def current_definition(connection: Connection, saga: str) -> Definition | None:
    """The newest registration of the highest version."""
    digest = connection.execute(_CURRENT, {"p_saga": saga}).scalar_one_or_none()
    return definition(connection, digest) if digest is not None else None


def saga_names(connection: Connection) -> list[str]:
    """Every saga the catalogue knows, by name."""
    return list(connection.scalars(select(definitions.c.saga).distinct().order_by(definitions.c.saga)))


# --- one job ---------------------------------------------------------------------------------------------------
_LOCK_JOB = select(*(j[name] for name in JOB_OF_A_MOVE)).where(j.id == bindparam("p_id", type_=Id)).with_for_update(key_share=True)


def lock_job(tx: Connection, job_id: str) -> AnyRow:
    """The job's JOB_OF_A_MOVE, locked until the transaction ends. FOR NO KEY UPDATE: a history row's foreign key takes FOR KEY SHARE.

    Raises: NotFound.
    """
    row = tx.execute(_LOCK_JOB, {"p_id": job_id}).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("there is no such job")
    return row


_OPERATION = select(operations).where(o.id == bindparam("p_id", type_=Id))


def operation(connection: Connection, operation_id: str) -> AnyRow | None:
    return connection.execute(_OPERATION, {"p_id": operation_id}).one_or_none()


def operations_of(connection: Connection, job_id: str, kind: Kind | None = None) -> list[AnyRow]:
    """A job's operations by rank."""
    guard = [o.job_id == job_id] + ([o.kind == kind] if kind else [])
    return list(connection.execute(select(operations).where(*guard).order_by(o.rank, o.item)))


def lock_no_return(tx: Connection, job_id: str) -> list[AnyRow]:
    """The rows whose claim decides that there is no way back, locked: a claim may be under way."""
    return list(
        tx.execute(
            select(operations).where(o.job_id == job_id, o.no_return, o.kind != Kind.UNDO).order_by(o.rank).with_for_update(key_share=True)
        )
    )


_MOVING = select(
    exists().where(
        o.job_id == bindparam("p_id", type_=Id), or_(o.state == PENDING, o.state == QUEUED, o.state == RUNNING, o.state == WAITING)
    ),
    exists().where(d.job_id == bindparam("p_id", type_=Id), d.state == OPEN, d.blocking),
)


def may_move(connection: Connection, job_id: str) -> bool:
    """Whether any operation of the job may still move, or a person is asked."""
    return any(connection.execute(_MOVING, {"p_id": job_id}).one())


def blocking_letters(connection: Connection, job_id: str) -> list[AnyRow]:
    return list(connection.execute(select(dead_letters).where(d.job_id == job_id, d.state == OPEN, d.blocking)))


def open_letter_of(connection: Connection, operation_id: str) -> AnyRow | None:
    return connection.execute(select(dead_letters).where(d.operation_id == operation_id, d.state == OPEN)).one_or_none()


def letter(connection: Connection, letter_id: str) -> AnyRow | None:
    return connection.execute(select(dead_letters).where(d.id == letter_id)).one_or_none() if is_id(letter_id) else None


_DELIVERY = (
    select(o.id, o.job_id, o.state, o.step, o.kind, o.item, o.checkpoint, j.digest, j.saga, j.input)
    .join_from(operations, jobs, o.job_id == j.id)
    .where(o.id == bindparam("p_id", type_=Id))
)


def delivery(connection: Connection, operation_id: str) -> AnyRow | None:
    """What a worker needs before it claims: the operation's state, the job's definition and input."""
    return connection.execute(_DELIVERY, {"p_id": operation_id}).one_or_none()


def overdue(connection: Connection, boot: str, deliveries: Collection[str]) -> list[AnyRow]:
    """(delivery, pid, stalled) of what a worker holds past its hard limit, or without a sign of progress for too long."""
    held = (o.boot == boot, o.state == RUNNING, o.delivery.in_(deliveries))
    stalled = o.hard_at > now()
    return list(
        connection.execute(select(o.delivery, o.pid, stalled.label("stalled")).where(*held, or_(o.hard_at <= now(), o.stall_at <= now())))
    )


def claimed_by(connection: Connection, delivery: str, boot: str, pid: int) -> AnyRow | None:
    """The operation that this child of this worker holds under this message, and whether it has shown no sign for too long (`stalled`)."""
    stalled = and_(o.stall_at <= now(), o.hard_at > now()).label("stalled")
    return connection.execute(
        select(operations, stalled).where(o.delivery == delivery, o.state == RUNNING, o.boot == boot, o.pid == pid)
    ).one_or_none()


def held_by(connection: Connection, boot: str) -> list[AnyRow]:
    """Everything a worker holds."""
    return list(connection.execute(select(o.id, o.job_id, o.token).where(o.boot == boot, o.state == RUNNING)))


_RESULTS = select(o.step, o.state, o.result).where(one_of(o.id, "p_ids"))


def results_of(connection: Connection, job_id: str, steps: Collection[str], item: str = "") -> dict[str, AnyRow]:
    """step -> its action's (state, result)."""
    if not steps:
        return {}
    ids = [operation_id(job_id, step, item, Kind.ACTION) for step in steps]
    return {row.step: row for row in connection.execute(_RESULTS, {"p_ids": ids})}


def idempotent(connection: Connection, tenant_id: str, key: str) -> AnyRow | None:
    k = idempotency_keys.c
    return connection.execute(select(k.fingerprint, k.job_id).where(k.tenant_id == tenant_id, k.key == key)).one_or_none()


# --- sweeps: each served by a partial index ----------------------------------------------------------------------
_READY = and_(o.state == QUEUED, o.missing == NOTHING)
_TO_RING = (o.id, o.job_id, o.step, o.kind, o.item, o.lane, j.saga)


def unsent(connection: Connection, older_than_s: float, limit: int) -> list[AnyRow]:
    """Ready, and no message has left; oldest and dearest first. `older_than_s` leaves those to whoever is publishing them now."""
    return list(
        connection.execute(
            select(*_TO_RING)
            .join_from(operations, jobs, o.job_id == j.id)
            .where(_READY, o.sent_at.is_(None), o.ready_at < ago(older_than_s))
            .order_by(o.ready_at)
            .limit(limit)
        )
    )


def to_ring(connection: Connection, operation_ids: Collection[str]) -> list[AnyRow]:
    """What a message of these operations needs, as far as they are still ready."""
    return list(connection.execute(select(*_TO_RING).join_from(operations, jobs, o.job_id == j.id).where(o.id.in_(operation_ids), _READY)))


def sent_long_ago(connection: Connection, empty_lane_s: float, full_lane_s: float, limit: int) -> list[AnyRow]:
    """Ready and sent, and nobody came: for longer than the bound, doubled with every time it was sent again.

    Rows say whether they are past the longer bound too (`overdue`), the one for a lane whose queue is not empty.
    """
    doubled = literal_column("1").op("<<")(o.resent)
    return list(
        connection.execute(
            select(*_TO_RING, case((o.sent_at < ago(full_lane_s * doubled), 1), else_=0).label("overdue"))
            .join_from(operations, jobs, o.job_id == j.id)
            .where(_READY, o.sent_at.is_not(None), o.sent_at < ago(empty_lane_s), o.sent_at < ago(empty_lane_s * doubled))
            .order_by(o.sent_at)
            .limit(limit)
        )
    )


def expired(connection: Connection, limit: int) -> list[AnyRow]:
    return list(
        connection.execute(
            select(o.id, o.job_id, o.token).where(o.state == RUNNING, o.lease_until < now()).order_by(o.lease_until).limit(limit)
        )
    )


def nobody_came(connection: Connection, limit: int) -> list[AnyRow]:
    return list(connection.execute(select(o.id, o.job_id).where(_READY, o.queue_by < now()).order_by(o.queue_by).limit(limit)))


def stranded(connection: Connection, limit: int) -> list[AnyRow]:
    return list(connection.execute(select(o.id, o.job_id).where(o.state == PENDING, o.missing == NOTHING).limit(limit)))


def past_deadline(connection: Connection, limit: int) -> list[str]:
    rows = connection.execute(
        select(j.id).where(j.deadline_at.is_not(None), j.state == RUNNING, j.deadline_at <= now()).order_by(j.deadline_at).limit(limit)
    )
    return [row.id for row in rows]


def past_undo_by(connection: Connection, limit: int) -> list[str]:
    rows = connection.execute(
        select(j.id).where(j.undo_by.is_not(None), j.state == COMPENSATING, j.undo_by <= now()).order_by(j.undo_by).limit(limit)
    )
    return [row.id for row in rows]


def idle(connection: Connection, after_id: str, limit: int) -> tuple[list[str], str]:
    """Open jobs of which nothing is live, one page of the open jobs after `after_id`. Returns (idle ids, where to go on; "" at the end)."""
    page = select(j.id).where(or_(j.state == RUNNING, j.state == COMPENSATING), j.id > after_id).order_by(j.id).limit(limit)
    ids = [row.id for row in connection.execute(page)]
    if not ids:
        return [], ""
    live = connection.execute(select(o.job_id).where(o.job_id.in_(ids), o.state.in_(LIVE)).distinct())
    alive = {row.job_id for row in live}
    return [i for i in ids if i not in alive], ids[-1] if len(ids) == limit else ""


# --- people and processes ----------------------------------------------------------------------------------------
def live_workers(db: Engine) -> list[AnyRow]:
    """Workers seen lately: (boot, host, pid, concurrency, lanes, digests, started_at, seen_at)."""
    with reading(db) as connection:
        return list(
            connection.execute(
                select(workers).where(workers.c.stopped_at.is_(None), workers.c.seen_at > ago(LIVE_WORKER_S)).order_by(workers.c.boot)
            )
        )


def default_tenant(db: Engine) -> str | None:
    """The id of the tenant `default`, if it is there."""
    with reading(db) as connection:
        return default_tenant_in(connection)


def default_tenant_in(connection: Connection) -> str | None:
    return connection.execute(select(tenants.c.id).where(tenants.c.name == "default")).scalar_one_or_none()
