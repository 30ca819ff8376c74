"""Where each order stands: its row in `flows`, whose lock makes two answers that come at once come
one after the other.

What a person waives counts as answered, and is kept beside the order (`left_undone`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    select,
    text,
    update,
)

from surefoot.app.clock import UtcDateTime, after
from surefoot.workers.sagas.order.services import order as orders
from surefoot.workers.sagas.order.services.database import insert_or

flows = Table(
    "flows",
    orders.metadata,
    Column("job", String(64), primary_key=True),
    Column("phase", String(10), nullable=False),
    Column("order_id", Integer),
    Column("request", JSON),  # the order without its card
    Column("reserved", JSON),  # the answers, each kept as it came
    Column("charged", JSON),
    Column(
        "asks_customer", Boolean, nullable=False
    ),  # it is confirmed when the customer says so, not when it could be
    Column("released", Boolean, nullable=False),
    Column("refunded", Boolean, nullable=False),
    Column("reason", Text),  # why it was given up
    Column("help", Text),  # who cannot go on
    Column("asking", String(255)),  # the event said last, said again until its answers are here
    Column("asks", Integer, nullable=False),
    Column("ask_at", UtcDateTime()),
    Column("answer_by", UtcDateTime()),  # past it an order that is only placed is given up
    Column("at", UtcDateTime(), nullable=False),
    CheckConstraint(
        "phase in ('placed', 'confirmed', 'completed', 'given_up', 'voided', 'never')",
        name="phase_known",
    ),
    Index(
        "flows_ask",
        "ask_at",
        sqlite_where=text("ask_at is not null"),
        postgresql_where=text("ask_at is not null"),
    ),
    Index(
        "flows_late",
        "answer_by",
        sqlite_where=text("phase = 'placed'"),
        postgresql_where=text("phase = 'placed'"),
    ),
)

left_undone = Table(
    # what services were to do for an order, and a person has decided that they need not
    "left_undone",
    orders.metadata,
    Column("job", String(64), primary_key=True),
    Column("service", String(16), primary_key=True),
    Column("event", String(64), primary_key=True),
    Column("actor", String(128), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", UtcDateTime(), nullable=False),
)
WAIVABLE = {  # (service, event) -> what of the order counts as answered, or how it ends
    ("inventory", "OrderGivenUp"): "released",
    ("orders", "StockReleased"): "released",
    ("payments", "OrderGivenUp"): "refunded",
    ("orders", "CardRefunded"): "refunded",
    ("inventory", "OrderConfirmed"): "completed",
    ("mail", "OrderShipped"): "completed",
    ("orders", "ReceiptSent"): "completed",
    ("orders", "StockReserved"): "given_up",
    ("orders", "StockRefused"): "given_up",
    ("orders", "CardCharged"): "given_up",
    ("orders", "CardDeclined"): "given_up",
}


def left_of(tx: Connection, job: str) -> str | None:
    """What the order ends without, in a sentence."""
    c = left_undone.c
    rows = tx.execute(select(left_undone).where(c.job == job).order_by(c.service, c.event))
    return (
        "; ".join(
            f"{row.actor} waived what {row.service} was to do about {row.event}: {row.why}"
            for row in rows
        )
        or None
    )


def insert_flow(tx: Connection, job: str, phase: str, **values: Any) -> bool:
    row = {
        "job": job,
        "phase": phase,
        "at": after(0),
        "released": False,
        "refunded": False,
        "asks": 0,
        **values,
    }
    return (
        tx.execute(
            insert_or(tx, flows).values(row).on_conflict_do_nothing().returning(flows.c.job)
        ).first()
        is not None
    )


def move_flow(tx: Connection, job: str, phases: Sequence[str], **values: Any) -> bool:
    """Change an order's row while it is in one of these phases, and keep it locked.

    Returns: whether it was.
    """
    mine = (flows.c.job == job) & flows.c.phase.in_(phases)
    return (
        tx.execute(
            update(flows)
            .where(mine)
            .values(values or {"phase": flows.c.phase})
            .returning(flows.c.job)
        ).first()
        is not None
    )


def note_answer(tx: Connection, job: str, **answer: Any) -> None:
    """Keep an answer, whatever the phase.

    Locks the row: of two answers at once the second sees the first.
    """
    tx.execute(update(flows).where(flows.c.job == job).values(answer))


def flow_of(tx: Connection, job: str) -> Row[Any] | Any:
    return tx.execute(select(flows).where(flows.c.job == job)).first()


def phase_of(tx: Connection, job: str) -> str:
    return str(tx.execute(select(flows.c.phase).where(flows.c.job == job)).scalar_one())
