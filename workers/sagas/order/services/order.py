"""The order service: who ordered what, and whether it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    select,
    text,
    update,
)

from surefoot import (
    Context,
    EffectReport,
    Rejected,
    barrier,
    barrier_table,
    effects_in_barrier,
    effects_in_barrier_between,
)
from surefoot.workers.sagas.order.models import (
    ChangeMade,
    ChangeOpened,
    ChangeRequest,
    Charge,
    Confirmed,
    Created,
    OrderRequest,
    Reserved,
    Voided,
)
from surefoot.workers.sagas.order.services.database import ServiceDatabase, insert_or

metadata = MetaData()
barrier_table(metadata)

orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    # whose order it is, as the engine names its tenants; another tenant's order of the same name is
    # another order
    Column("tenant", String(64), nullable=False, server_default="default"),
    Column("order_ref", String(128), nullable=False),
    Column("job", String(64), nullable=False, unique=True),
    Column("customer", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("sku", String(64), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    CheckConstraint("state in ('pending', 'confirmed', 'voided')", name="state_known"),
    sqlite_autoincrement=True,  # the number of an order is never given to another
)
# One order of a name at a time. A voided one is as if never made, so its name is free: running the
# job again must work.
Index(
    "one_order_of_a_tenants_name",
    orders.c.tenant,
    orders.c.order_ref,
    unique=True,
    postgresql_where=text("state <> 'voided'"),
    sqlite_where=text("state <> 'voided'"),
)

changes = Table(
    "changes",
    metadata,
    Column("job", String(64), primary_key=True),
    Column("order_id", Integer, nullable=False, index=True),
    Column("quantity_before", Integer, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("amount_before_cents", BigInteger, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),  # what is paid on top
    Column("state", String(10), nullable=False),
    CheckConstraint("state in ('pending', 'made', 'dropped')", name="state_known"),
)

database = ServiceDatabase("order", metadata, given_up_indexes=("one_order_of_a_name",))


@dataclass(frozen=True)
class OrderRow:
    """An order as its service knows it; `state`: pending, confirmed or voided."""

    id: int
    job: str
    order_ref: str
    sku: str
    quantity: int
    amount_cents: int
    state: str


@dataclass(frozen=True)
class ChangeRow:
    """A change of an order; `state`: pending, made or dropped; `amount_cents`: what is paid on top."""

    job: str
    order_id: int
    amount_cents: int
    state: str


def create(ctx: Context, o: OrderRequest) -> Created:
    """Write the order down, pending. Raises: Rejected when another order of this tenant and name
    stands.
    """
    order_ref = o.order_ref or f"job:{ctx.job_id}"
    row = {**o.model_dump(exclude={"card"}), "tenant": ctx.tenant, "order_ref": order_ref}
    row |= {"job": ctx.job_id, "state": "pending"}
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            made = tx.execute(
                insert_or(tx, orders).values(row).on_conflict_do_nothing().returning(orders.c.id)
            ).first()
            if made is None:
                raise Rejected(f"There is an order {order_ref} already.")
            first.keep(Created(order_id=made.id, order_ref=order_ref).model_dump(mode="json"))
        return Created.model_validate(first.result)


def void(ctx: Context) -> Voided | None:
    """Void the order that this job made, if it made one."""
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            mine = (orders.c.job == ctx.job_id) & (orders.c.state != "voided")
            gone = tx.execute(
                update(orders).where(mine).values(state="voided").returning(orders.c.id)
            ).one()
            first.keep(Voided(order_id=gone.id).model_dump(mode="json"))
        return Voided.model_validate(first.result) if first.result else None


def confirm(ctx: Context, reserved: Reserved, charge: Charge) -> Confirmed:
    """From here on the order stands: goods are reserved and paid.

    Raises: Rejected when it is not pending.
    """
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            mine = (orders.c.job == ctx.job_id) & (orders.c.state == "pending")
            confirm_it = (
                update(orders)
                .where(mine)
                .values(state="confirmed")
                .returning(orders.c.id, orders.c.order_ref)
            )
            row = tx.execute(confirm_it).first()
            if row is None:
                raise Rejected("The order is not pending any more.")
            result = Confirmed(
                order_id=row.id,
                order_ref=row.order_ref,
                reservation=reserved.reservation,
                charge_id=charge.charge_id,
            )
            first.keep(result.model_dump(mode="json"))
        return Confirmed.model_validate(first.result)


def open_change(ctx: Context, o: ChangeRequest) -> ChangeOpened:
    """Begin a change: from how many to how many. Raises: Rejected when no such order of this tenant
    stands.
    """
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            mine = (orders.c.tenant == ctx.tenant) & (orders.c.order_ref == o.order_ref)
            row = tx.execute(select(orders).where(mine, orders.c.state != "voided")).first()
            if row is None:
                raise Rejected(f"There is no order {o.order_ref}.")
            change = {
                "quantity_before": row.quantity,
                "quantity": row.quantity + o.more,
                "amount_before_cents": row.amount_cents,
            }
            change |= {
                "job": ctx.job_id,
                "order_id": row.id,
                "amount_cents": o.amount_cents,
                "state": "pending",
            }
            tx.execute(insert(changes).values(change))
            first.keep(
                ChangeOpened(order_id=row.id, sku=row.sku, quantity=row.quantity).model_dump(
                    mode="json"
                )
            )
        return ChangeOpened.model_validate(first.result)


def drop_change(ctx: Context) -> None:
    """The change is not made after all."""
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            tx.execute(update(changes).where(changes.c.job == ctx.job_id).values(state="dropped"))


def make_change(ctx: Context, reserved: Reserved) -> ChangeMade:
    """Write down the new quantity and price, counted from what they were when the change began.

    Raises: Rejected when the order is void.

    Nothing here sees what others have written since: that nobody has is what the order's lock is
    for.
    """
    with database.transaction() as tx, barrier(tx, ctx) as first:
        if first:
            change = tx.execute(select(changes).where(changes.c.job == ctx.job_id)).one()
            values = {
                "quantity": change.quantity,
                "amount_cents": change.amount_before_cents + change.amount_cents,
            }
            stands = (orders.c.id == change.order_id) & (orders.c.state != "voided")
            if (
                tx.execute(
                    update(orders).where(stands).values(**values).returning(orders.c.id)
                ).first()
                is None
            ):
                raise Rejected("The order does not stand any more.")
            tx.execute(update(changes).where(changes.c.job == ctx.job_id).values(state="made"))
            made = ChangeMade(
                order_id=change.order_id, quantity=change.quantity, reservation=reserved.reservation
            )
            first.keep(made.model_dump(mode="json"))
        return ChangeMade.model_validate(first.result)


def all_orders() -> list[OrderRow]:
    """Every order that was ever made, oldest first."""
    return read_all()[0]


def read_all() -> tuple[list[OrderRow], list[ChangeRow]]:
    """Every order, oldest first, and every change of one, both as of the same moment."""
    c, d = orders.c, changes.c
    with database.snapshot() as tx:
        query = select(
            c.id, c.job, c.order_ref, c.sku, c.quantity, c.amount_cents, c.state
        ).order_by(c.id)
        made = [OrderRow(*row) for row in tx.execute(query)]
        changed = [
            ChangeRow(*row)
            for row in tx.execute(
                select(d.job, d.order_id, d.amount_cents, d.state).order_by(d.job)
            )
        ]
    return made, changed


def seen(keys: Iterable[str]) -> list[EffectReport]:
    """What became of these effects; all of them are behind the barrier, so its rows tell."""
    with database.snapshot() as tx:
        return effects_in_barrier(tx, keys)


def seen_between(first: str, last: str) -> list[EffectReport]:
    """Every effect under a key in between, the first of them, from any caller."""
    with database.snapshot() as tx:
        return effects_in_barrier_between(tx, first, last)
