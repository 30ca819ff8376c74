"""Writes of whether an operation's message has left.

They write operation rows only, and no state but `queued`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Integer, and_, bindparam, case, null, select, update

from surefoot.app.clock import UtcDateTime, now
from surefoot.app.store.statements import PENDING, QUEUED, STATE, ZERO
from surefoot.app.store.tables import Id, operations
from surefoot.app.store.types import one_of

o = operations.c

_RIDE = update(operations).where(one_of(o.id, "p_ids"), o.state == PENDING).values(state=QUEUED)


def ride_along(tx: Connection, operation_ids: Collection[str]) -> None:
    """pending -> queued for operations that an earlier message of their chain carries.

    Only ready ones can be claimed.
    """
    if operation_ids:
        tx.execute(_RIDE, {"p_ids": operation_ids})


_READY = and_(one_of(o.id, "p_ids"), STATE == QUEUED, o.pending_dependencies == ZERO)
_MARK_SENT = update(operations).where(_READY).values(sent_at=now())
_MARK_ONE_SENT = (
    update(operations)
    .where(o.id == bindparam("p_id", type_=Id), STATE == QUEUED, o.pending_dependencies == ZERO)
    .values(sent_at=now())
)
_MARK_UNSENT = update(operations).where(_READY).values(sent_at=null())


def mark_sent(tx: Connection, operation_ids: Collection[str]) -> None:
    """Their messages have left. n=0 is normal: claimed already."""
    if (
        len(operation_ids) == 1
        # most often. PostgreSQL plans an array of one anew every time: any number of ids looks dearer
    ):
        tx.execute(_MARK_ONE_SENT, {"p_id": next(iter(operation_ids))})
    elif operation_ids:
        tx.execute(_MARK_SENT, {"p_ids": operation_ids})


def mark_unsent(tx: Connection, operation_ids: Collection[str]) -> None:
    """Their messages did not leave after all: the next sweep sends them."""
    tx.execute(_MARK_UNSENT, {"p_ids": operation_ids})


_MARK_SENT_AGAIN = (
    update(operations)
    .where(_READY)
    .values(sent_at=now(), republished=case((o.republished < 6, o.republished + 1), else_=6))
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
                o.pending_dependencies == ZERO,
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
    """The broker lost what it had: what is queued and was sent by then counts as not sent, at most
    `limit` of it. Returns how many.
    """
    return tx.execute(_FORGET, {"p_until": until, "p_limit": limit}).rowcount
