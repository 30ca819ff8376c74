"""The bank's book: what it knows of each idempotency key, and every movement of money, for ever.

A key's row is inserted, never looked up first, so of two requests with one key (or a charge and a
void) exactly one comes first, and the other reads what it left:

    unknown --charge--> settled --void--> refunded        money moved there, and back once
    unknown --charge--> declined                          the same question gets the same no
    unknown --void----> void                              a tombstone: a later charge is refused
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    insert,
    select,
    update,
)

from surefoot.workers.sagas.order.services.database import ServiceDatabase, insert_or

metadata = MetaData()

charges = Table(
    "charges",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64)),  # of the request that made the row; null when a void did
    Column("charge_id", String(40), unique=True),
    Column("amount_cents", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    CheckConstraint("state in ('settled', 'refunded', 'declined', 'void')", name="state_known"),
)

movements = Table(
    "movements",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(255), nullable=False),
    Column("kind", String(6), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    UniqueConstraint(
        "key", "kind"
    ),  # a key charges once and refunds once, whatever the code above believes
    CheckConstraint("kind in ('charge', 'refund')", name="kind_known"),
    CheckConstraint("amount_cents > 0", name="amount_positive"),
)

database = ServiceDatabase("bank", metadata)


@dataclass(frozen=True)
class Entry:
    """What the book says of a key.

    `fresh`: this very request wrote it; `same`: the request is the one that wrote it.
    """

    key: str
    charge_id: str | None
    amount_cents: int
    state: str
    fresh: bool = False
    same: bool = True

    def public(self) -> dict[str, Any]:
        refunded = self.amount_cents if self.state == "refunded" else 0
        return {
            "key": self.key,
            "charge_id": self.charge_id,
            "amount_cents": self.amount_cents,
            "refunded_cents": refunded,
            "state": self.state,
        }


def look(key: str) -> Entry | None:
    """What the book says of a key, None when it was never heard of."""
    with database.snapshot() as tx:
        return _read(tx, key)


def recall(key: str, amount_cents: int, card: str) -> Entry | None:
    """As `look`, telling also whether a charge of this amount on this card is the request that
    wrote it.
    """
    with database.snapshot() as tx:
        return _read(tx, key, _fingerprint(amount_cents, card))


def charge(key: str, amount_cents: int, card: str, *, approved: bool) -> Entry:
    """Charge a card, unless the key is spent; then the entry says on what."""
    fingerprint = _fingerprint(amount_cents, card)
    state = "settled" if approved else "declined"
    charge_id = f"ch_{uuid.uuid4().hex[:20]}" if approved else None
    row = {
        "key": key,
        "fingerprint": fingerprint,
        "charge_id": charge_id,
        "amount_cents": amount_cents,
        "state": state,
    }
    with database.transaction() as tx:
        if not _insert(tx, row):
            return _known(tx, key, fingerprint)
        if approved:
            tx.execute(insert(movements).values(key=key, kind="charge", amount_cents=amount_cents))
        return Entry(key, charge_id, amount_cents, state, fresh=True)


def void(key: str) -> Entry:
    """See that no money stays moved under this key, now or later: refund it, or leave a tombstone.

    Repeats change nothing.
    """
    row = {"key": key, "fingerprint": None, "charge_id": None, "amount_cents": 0, "state": "void"}
    with database.transaction() as tx:
        if not _insert(tx, row):
            settled = (charges.c.key == key) & (charges.c.state == "settled")
            refunded = tx.execute(
                update(charges)
                .where(settled)
                .values(state="refunded")
                .returning(charges.c.amount_cents)
            ).first()
            if refunded is not None:
                tx.execute(
                    insert(movements).values(
                        key=key, kind="refund", amount_cents=refunded.amount_cents
                    )
                )
        return _known(tx, key, None)


def book() -> dict[str, Any]:
    """Every key and every movement, oldest movement first."""
    with database.snapshot() as tx:
        keys = [_entry(row).public() for row in tx.execute(select(charges).order_by(charges.c.key))]
        moved = tx.execute(
            select(movements.c.key, movements.c.kind, movements.c.amount_cents).order_by(
                movements.c.id
            )
        )
        return {"charges": keys, "movements": [dict(row._mapping) for row in moved]}


def _insert(tx: Connection, row: dict[str, Any]) -> bool:
    statement = (
        insert_or(tx, charges)
        .values(row)
        .on_conflict_do_nothing(index_elements=[charges.c.key])
        .returning(charges.c.key)
    )
    return tx.execute(statement).first() is not None


def _known(tx: Connection, key: str, fingerprint: str | None) -> Entry:
    entry = _read(tx, key, fingerprint)
    assert entry is not None  # rows are never deleted
    return entry


def _read(tx: Connection, key: str, fingerprint: str | None = None) -> Entry | None:
    row = tx.execute(select(charges).where(charges.c.key == key)).first()
    return None if row is None else _entry(row, fingerprint)


def _entry(row: Any, fingerprint: str | None = None) -> Entry:
    same = fingerprint is None or row.fingerprint is None or row.fingerprint == fingerprint
    return Entry(row.key, row.charge_id, row.amount_cents, row.state, same=same)


def _fingerprint(amount_cents: int, card: str) -> str:
    return hashlib.sha256(json.dumps([amount_cents, card]).encode()).hexdigest()
