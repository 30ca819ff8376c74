"""Reads of what has to be sent to the broker, was sent, or may be lost there.

Each is served by a partial index.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    String,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    tuple_,
)

from surefoot.app.clock import UtcDateTime, ago, now
from surefoot.app.store.rows.operations import MessageRow, TurnRow
from surefoot.app.store.statements import NO_ID, P_LIMIT, QUEUED, READY, RUNNING, STATE, ZERO
from surefoot.app.store.tables import Id, jobs, operations
from surefoot.app.store.types import one_of

o, j = operations.c, jobs.c

_RING_ANY = select(o.id, o.job_id, o.step, o.kind, o.item, o.lane, j.saga).join_from(
    operations, jobs, o.job_id == j.id
)
_RING = _RING_ANY.where(READY)
_UNSENT = (
    _RING.where(o.sent_at.is_(None), o.ready_at < ago(bindparam("p_older_s", type_=Float)))
    .order_by(o.ready_at)
    .limit(P_LIMIT)
)
_TO_RING = _RING_ANY.where(one_of(o.id, "p_ids"), STATE == QUEUED, o.pending_dependencies == ZERO)
_DOUBLED = literal_column("1").op("<<")(o.republished)
_BOUND_S = bindparam("p_bound_s", type_=Float)
_SENT = and_(READY, o.sent_at.is_not(None))
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
        case((and_(o.kind == _KIND, o.republished == ZERO), o.sent_at), else_=null()),
        type_=UtcDateTime(),
    ),
).where(o.state == RUNNING, o.lane == _LANE)


def unsent(connection: Connection, older_than_s: float, limit: int) -> list[MessageRow]:
    """Ready, and no message has left; oldest and dearest first.

    `older_than_s` leaves those to the process that is publishing them now.
    """
    return list(connection.execute(_UNSENT, {"p_older_s": older_than_s, "p_limit": limit}))


@dataclass(frozen=True)
class Turn:
    """What of one tenant goes to one queue: operations of a lane and kind."""

    lane: str
    kind: str
    tenant_id: str


_ITS_TURN = and_(
    READY, o.lane == _LANE, o.kind == _KIND, o.tenant_id == bindparam("p_tenant", type_=Id)
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
        READY,
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


def turns_of(connection: Connection, operation_ids: Collection[str]) -> list[TurnRow]:
    """(id, lane, kind, tenant_id, ready_at) of these operations, as far as they are ready, by rank."""
    return list(connection.execute(_TURNS_OF, {"p_ids": operation_ids}))


def waiting_of(connection: Connection, turn: Turn, most: int) -> int:
    """How many operations of a tenant were sent to a lane and nobody has come yet, counted up to
    `most`.
    """
    return int(connection.execute(_WAITING, _asked(turn) | {"p_limit": most}).scalar_one())


def is_behind(connection: Connection, turn: Turn, before: datetime, older_than_s: float) -> bool:
    """Whether a tenant has one for that lane that was ready before, and for so long, and is not
    sent.
    """
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
    """Operations of one lane and kind that were sent and wait.

    `at`: the store's time when that was asked.
    """

    lane: str
    kind: str
    at: datetime


@dataclass(frozen=True)
class Running:
    """What runs on a lane: how much, and when the latest message was sent by which one of this
    queue was claimed.
    """

    count: int
    newest_sent: datetime | None


def sent_queues(connection: Connection, older_than_s: float) -> list[Queue]:
    """The queues whose oldest waiting message was sent so long ago.

    From one to the next by the index: waiting rows are not read.
    """
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
    """Of a queue: sent, and nobody came, for longer than the bound, doubled with every time it was
    sent again. Oldest first.
    """
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
    """What runs on the lane of a queue.

    What was sent again says nothing of the order: its first message may have been the one.
    """
    return Running(
        *connection.execute(_RUNNING_OF, {"p_lane": queue.lane, "p_kind": queue.kind}).one()
    )
