"""Changing an order: more of the same, on the same services.

                  ┌─> reserve_more ─┐
    open_change ──┤                 ├─> make_change ─> ship_more
                  └─> charge_more ──┘   (no return)

It begins by reading how many were ordered and ends by writing how many it shall be: whatever
happens to the order in between would be written over. So it takes the order's lock, as everything
does that is about this order.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from surefoot import Context, EffectReport, NotYet, Probed, Saga
from surefoot.workers.sagas.order.invariants import all_or_nothing, books_agree
from surefoot.workers.sagas.order.models import (
    ChangeMade,
    ChangeOpened,
    ChangeRequest,
    Charge,
    Refund,
    Released,
    Reserved,
    Shipped,
    order_locks,
)
from surefoot.workers.sagas.order.orphans import only
from surefoot.workers.sagas.order.services import inventory, payment
from surefoot.workers.sagas.order.services import order as orders

EXAMPLE = ChangeRequest(order_ref="A-17", more=1, amount_cents=625, card="tok_ok")

change_order = Saga(
    "change_order",
    version=1,
    input=ChangeRequest,
    sla="10m",
    examples=[(EXAMPLE, "completed")],
    locks=order_locks,
    lock_wait="5m",
    summary="{more} more of order {order_ref}, {amount_cents:cents}",
)


@change_order.step(lane="orders", title="open the change", done="change opened")
def open_change(ctx: Context, o: ChangeRequest) -> ChangeOpened:
    return orders.open_change(ctx, o)


@open_change.compensate(fidelity="exact", undone="change dropped")
def drop_change(ctx: Context, o: ChangeRequest, opened: ChangeOpened | None) -> None:
    orders.drop_change(ctx)


@change_order.step(
    lane="inventory", after=[open_change], title="reserve more goods", done="more goods reserved"
)
def reserve_more(ctx: Context, o: ChangeRequest, opened: ChangeOpened) -> Reserved | NotYet:
    return inventory.reserve(ctx, opened.order_id, opened.sku, o.more)


@reserve_more.compensate(fidelity="exact", undone="the additional goods released")
def release_more(ctx: Context, o: ChangeRequest, reserved: Reserved | None) -> Released | None:
    return inventory.release(ctx)


@change_order.step(
    lane="payments", after=[open_change], title="charge the difference", done="difference charged"
)
def charge_more(ctx: Context, o: ChangeRequest, opened: ChangeOpened) -> Charge:
    return payment.charge(ctx, opened.order_id, o.amount_cents, o.card)


@charge_more.compensate(
    fidelity="equivalent",
    note="the refund shows on the statement beside the charge",
    undone="difference refunded",
    settle_after=0,  # the bank voids the key: a charge that is still on its way is refused
)
def refund_more(ctx: Context, o: ChangeRequest, charge: Charge | None) -> Refund:
    return payment.refund(ctx, o.amount_cents)


@charge_more.probe
def find_more(ctx: Context, o: ChangeRequest) -> Probed:
    return payment.find(ctx)


@change_order.step(
    lane="orders",
    after=[reserve_more, charge_more],
    pivot=True,
    title="change the order",
    done="order changed",
)
def make_change(ctx: Context, o: ChangeRequest, reserved: Reserved, charge: Charge) -> ChangeMade:
    return orders.make_change(ctx, reserved)


@change_order.step(
    lane="inventory",
    after=[make_change],
    title="ship the additional goods",
    done="additional goods shipped",
)
def ship_more(ctx: Context, o: ChangeRequest, made: ChangeMade) -> Shipped:
    return inventory.ship(ctx, made.reservation)


# --- what the services say happened ---------------------------------------------------------------
@change_order.effect_reader("orders")
def order_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return orders.seen(keys)


@change_order.effect_reader("inventory")
def inventory_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return inventory.seen(keys)


@change_order.effect_reader("payments")
def payment_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return payment.seen(keys)


# --- how an effect without its job is taken back, for a person ------------------------------------
@change_order.undo_effect("orders")
def undo_change(ctx: Context, report: EffectReport) -> None:
    only(ctx, open_change)
    orders.drop_change(ctx)


@change_order.undo_effect("inventory")
def undo_reservation(ctx: Context, report: EffectReport) -> None:
    only(ctx, reserve_more)
    inventory.release(ctx)


@change_order.undo_effect("payments")
def undo_charge(ctx: Context, report: EffectReport) -> None:
    only(ctx, charge_more)
    payment.refund(ctx, int(report.detail.get("charged_cents", 0)))


# --- what must hold -------------------------------------------------------------------------------
change_order.invariant(all_or_nothing("orders", "inventory", "payments"))
change_order.invariant(books_agree)


@change_order.test_environment
def stand_in_environment() -> AbstractContextManager[Any]:
    from surefoot.workers.sagas.order.stand_ins import (
        with_an_order,  # the bank is a web server: workers need not read its code
    )

    return with_an_order(EXAMPLE.order_ref)
