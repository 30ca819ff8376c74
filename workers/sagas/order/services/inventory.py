"""The inventory service: what lies on the shelf, what is promised, what has gone.

A reservation is the pending mark on the goods: they are out of everybody's reach, and come back by
its release. So "there are none" is not yet an answer while others' reservations would do: the
caller is asked to retry for a while. `on_hand + reserved + sold = initial`, always; the database
itself refuses a row that says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from surefoot import (
    Context,
    EffectReport,
    NotYet,
    Rejected,
    barrier,
    barrier_table,
    effects_in_barrier,
    effects_in_barrier_between,
)
from surefoot.workers.sagas.order.models import Released, Reserved, Shipped
from surefoot.workers.sagas.order.services.database import ServiceDatabase, insert_or
from surefoot.workers.sagas.order.settings import order_settings

SEED = {"apple": 1000, "pear": 1000, "plum": 1000}
MAX_STOCK = 1_000_000_000

metadata = MetaData()
barrier_table(metadata)

stock = Table(
    "stock",
    metadata,
    Column("sku", String(64), primary_key=True),
    Column("initial", Integer, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
    CheckConstraint("on_hand + reserved + sold = initial", name="nothing_lost"),
    CheckConstraint("on_hand >= 0 and reserved >= 0 and sold >= 0", name="none_negative"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("job", String(64), nullable=False, index=True),
    Column("order_id", Integer, nullable=False),
    Column("sku", String(64), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("state in ('held', 'released', 'shipped')", name="state_known"),
)

wishes = Table(  # who was told to come again, and since when
    "wishes",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

database = ServiceDatabase("inventory", metadata)


class StockTooLow(ValueError):
    """The initial amount cannot be less than what is reserved and sold."""


@dataclass(frozen=True)
class StockRow:
    sku: str
    initial: int
    on_hand: int
    reserved: int
    sold: int


@dataclass(frozen=True)
class ReservationRow:
    """A reservation; `state`: held, released or shipped."""

    key: str
    job: str
    order_id: int
    sku: str
    quantity: int
    state: str


class TooFew(Rejected):
    """Not enough are on hand just now."""


def reserve(ctx: Context, order_id: int, sku: str, quantity: int) -> Reserved | NotYet:
    """Take goods off the shelf for an order.

    `NotYet` while others' reservations that are still pending would do, for
    SUREFOOT_RESERVE_WAIT_SECONDS from the first asking on.
    Raises: Rejected when there are not enough, or no such thing.
    """
    try:
        return reserve_now(ctx, order_id, sku, quantity)
    except TooFew:
        settings = order_settings()
        with database.transaction() as tx:
            if _may_come_back(tx, sku, quantity) and _has_patience(
                tx, ctx.key, settings.reserve_wait_seconds
            ):
                return NotYet(settings.reserve_recheck_seconds)
        raise


def reserve_now(ctx: Context, order_id: int, sku: str, quantity: int) -> Reserved:
    """The same, without waiting for what may come back. Raises: TooFew."""
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            enough = stock.c.on_hand >= quantity
            if not _shift(
                tx,
                sku,
                {"on_hand": stock.c.on_hand - quantity, "reserved": stock.c.reserved + quantity},
                enough,
            ):
                raise TooFew(_why_not(tx, sku, quantity))
            tx.execute(delete(wishes).where(wishes.c.key == ctx.key))
            row = {
                "key": ctx.key,
                "job": ctx.job_id,
                "order_id": order_id,
                "sku": sku,
                "quantity": quantity,
                "state": "held",
            }
            tx.execute(insert(reservations).values(row))
            first.keep(
                Reserved(reservation=ctx.key, sku=sku, quantity=quantity).model_dump(mode="json")
            )
        return Reserved.model_validate(first.result)


def release(ctx: Context) -> Released | None:
    """Put an order's goods back, if it had any."""
    with database.transaction() as tx, barrier(tx, ctx) as first:
        tx.execute(delete(wishes).where(wishes.c.key == ctx.action_key))
        if first:
            row = _end(tx, ctx.action_key, "released")
            if row is None:
                raise RuntimeError(
                    f"the reservation {ctx.action_key} is not held, so it cannot be released"
                )
            _shift(
                tx,
                row.sku,
                {
                    "on_hand": stock.c.on_hand + row.quantity,
                    "reserved": stock.c.reserved - row.quantity,
                },
            )
            first.keep(Released(quantity=row.quantity).model_dump(mode="json"))
        return Released.model_validate(first.result) if first.result else None


def ship(ctx: Context, reservation: str) -> Shipped:
    """What was reserved is sold. Raises: Rejected when the reservation is not held."""
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            row = _end(tx, reservation, "shipped")
            if row is None:
                raise Rejected(f"The reservation {reservation} is not held.")
            _shift(
                tx,
                row.sku,
                {"reserved": stock.c.reserved - row.quantity, "sold": stock.c.sold + row.quantity},
            )
            first.keep(
                Shipped(reservation=reservation, quantity=row.quantity).model_dump(mode="json")
            )
        return Shipped.model_validate(first.result)


def set_initial(sku: str, initial: int) -> StockRow:
    """Say how many there were at first; what is on hand follows. A new SKU is added.

    Raises: StockTooLow when more than that are reserved or sold.
    """
    with database.transaction() as tx:
        _add_missing(tx, {sku: initial})
        fits = stock.c.reserved + stock.c.sold <= initial
        moved = {"initial": initial, "on_hand": initial - stock.c.reserved - stock.c.sold}
        if not _shift(tx, sku, moved, fits):
            taken = tx.execute(
                select(stock.c.reserved, stock.c.sold).where(stock.c.sku == sku)
            ).one()
            raise StockTooLow(
                f"{sku}: {taken.reserved} are reserved and {taken.sold} sold, so {initial} is too low"
            )
        return StockRow(*tx.execute(select(stock).where(stock.c.sku == sku)).one())


def seed_if_empty() -> bool:
    """Fill an empty shelf with a thousand each of apple, pear and plum.

    Returns: whether it was empty.
    """
    with database.transaction() as tx:
        if tx.execute(select(stock.c.sku).limit(1)).first() is not None:
            return False
        return _add_missing(tx, SEED) > 0


def all_stock() -> list[StockRow]:
    """The shelf, by SKU."""
    return read_all()[0]


def read_all() -> tuple[list[StockRow], list[ReservationRow]]:
    """The shelf by SKU and every reservation by key, both as of the same moment."""
    with database.snapshot() as tx:
        shelf = [StockRow(*row) for row in tx.execute(select(stock).order_by(stock.c.sku))]
        held = [
            ReservationRow(*row)
            for row in tx.execute(select(reservations).order_by(reservations.c.key))
        ]
    return shelf, held


def seen(keys: Iterable[str]) -> list[EffectReport]:
    """What became of these effects; all of them are behind the barrier, so its rows tell."""
    with database.snapshot() as tx:
        return effects_in_barrier(tx, keys)


def seen_between(first: str, last: str) -> list[EffectReport]:
    """Every effect under a key in between, the first of them, from any caller."""
    with database.snapshot() as tx:
        return effects_in_barrier_between(tx, first, last)


def _shift(
    tx: Connection, sku: str, values: Mapping[str, object], when: ColumnElement[bool] | None = None
) -> bool:
    """Move amounts between a SKU's counters, if `when` holds.

    One UPDATE: no two orders take the same apple.
    """
    where = stock.c.sku == sku if when is None else (stock.c.sku == sku) & when
    return (
        tx.execute(update(stock).where(where).values(**values).returning(stock.c.sku)).first()
        is not None
    )


def _end(tx: Connection, key: str, state: str) -> ReservationRow | None:
    held = (reservations.c.key == key) & (reservations.c.state == "held")
    row = tx.execute(
        update(reservations).where(held).values(state=state).returning(*reservations.c)
    ).first()
    return None if row is None else ReservationRow(*row)


def _may_come_back(tx: Connection, sku: str, quantity: int) -> bool:
    """Whether there would be enough if every pending reservation came back.

    The asker has none: it asks for its first.
    """
    row = tx.execute(select(stock.c.on_hand, stock.c.reserved).where(stock.c.sku == sku)).first()
    return row is not None and bool(row.on_hand + row.reserved >= quantity)


def _has_patience(tx: Connection, key: str, most_s: float) -> bool:
    """Whether the first asking was less than so long ago, by the database's clock."""
    tx.execute(insert_or(tx, wishes).values(key=key).on_conflict_do_nothing())
    row = tx.execute(
        select(wishes.c.since, func.now(type_=DateTime(timezone=True)).label("now")).where(
            wishes.c.key == key
        )
    ).one()
    return bool((row.now - row.since).total_seconds() < most_s)


def _why_not(tx: Connection, sku: str, quantity: int) -> str:
    on_hand = tx.execute(select(stock.c.on_hand).where(stock.c.sku == sku)).scalar()
    return (
        f"No {sku} is sold here."
        if on_hand is None
        else f"There are {on_hand} of {sku} on hand, {quantity} are wanted."
    )


def _add_missing(tx: Connection, amounts: Mapping[str, int]) -> int:
    rows = [
        {"sku": sku, "initial": n, "on_hand": n, "reserved": 0, "sold": 0}
        for sku, n in amounts.items()
    ]
    statement = insert_or(tx, stock).values(rows).on_conflict_do_nothing().returning(stock.c.sku)
    return len(tx.execute(statement).all())
