"""The order saga, from the customer's wish to the receipt.

                 ┌─> reserve_stock ─┐
    create_order ┤                  ├─> confirm_order ─> ship_order ─> send_receipt
                 └─> charge_card ───┘   (no return)                    (cannot be undone)

Up to `confirm_order` everything can be taken back; from there on it is carried through. Each step
is one call of one service; what the service does in its own transaction, and why, is told there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from surefoot import Context, EffectReport, NotYet, Probed, Saga
from surefoot.workers.sagas.order.change import change_order
from surefoot.workers.sagas.order.invariants import all_or_nothing, books_agree, money_is_whole
from surefoot.workers.sagas.order.models import (
    Charge,
    Confirmed,
    Created,
    OrderRequest,
    Receipt,
    Refund,
    Released,
    Reserved,
    Shipped,
    Voided,
    order_locks,
)
from surefoot.workers.sagas.order.orphans import only
from surefoot.workers.sagas.order.services import inventory, mail, payment
from surefoot.workers.sagas.order.services import order as orders
from surefoot.workers.sagas.order.settings import order_settings

__all__ = ["change_order", "order"]  # what a worker of this package can run

# those that cannot work are refused when a process begins, not in the middle of an order
order_settings()

_EXAMPLE = OrderRequest(
    customer="Ada",
    email="ada@example.org",
    sku="apple",
    quantity=2,
    amount_cents=1250,
    card="tok_ok",
)

order = Saga(
    "order",
    version=1,
    input=OrderRequest,
    sla="10m",
    examples=[(_EXAMPLE, "completed")],
    locks=order_locks,
    lock_wait="5m",
    summary="{quantity} × {sku} for {customer}, {amount_cents:cents}",
)


@order.step(lane="orders", title="create the order", done="order created")
def create_order(ctx: Context, o: OrderRequest) -> Created:
    return orders.create(ctx, o)


@create_order.compensate(fidelity="exact", undone="order voided")
def void_order(ctx: Context, o: OrderRequest, created: Created | None) -> Voided | None:
    return orders.void(ctx)


@order.step(
    lane="inventory", after=[create_order], title="reserve the goods", done="goods reserved"
)
def reserve_stock(ctx: Context, o: OrderRequest, created: Created) -> Reserved | NotYet:
    return inventory.reserve(ctx, created.order_id, o.sku, o.quantity)


@reserve_stock.compensate(fidelity="exact", undone="goods released")
def release_stock(ctx: Context, o: OrderRequest, reserved: Reserved | None) -> Released | None:
    return inventory.release(ctx)


# no path to reserve_stock: the two run side by side
@order.step(lane="payments", after=[create_order], title="charge the card", done="card charged")
def charge_card(ctx: Context, o: OrderRequest, created: Created) -> Charge:
    return payment.charge(ctx, created.order_id, o.amount_cents, o.card)


@charge_card.compensate(
    fidelity="equivalent",
    note="the refund shows on the statement beside the charge",
    undone="card refunded",
    settle_after=0,  # the bank voids the key: a charge that is still on its way is refused
)
def refund_card(ctx: Context, o: OrderRequest, charge: Charge | None) -> Refund:
    return payment.refund(ctx, o.amount_cents)


@charge_card.probe
def find_charge(ctx: Context, o: OrderRequest) -> Probed:
    return payment.find(ctx)


@order.step(
    lane="orders",
    after=[reserve_stock, charge_card],
    pivot=True,
    title="confirm the order",
    done="order confirmed",
)
def confirm_order(ctx: Context, o: OrderRequest, reserved: Reserved, charge: Charge) -> Confirmed:
    return orders.confirm(ctx, reserved, charge)


@order.step(lane="inventory", after=[confirm_order], title="ship the goods", done="goods shipped")
def ship_order(ctx: Context, o: OrderRequest, confirmed: Confirmed) -> Shipped:
    return inventory.ship(ctx, confirmed.reservation)


@order.step(
    lane="mail",
    after=[ship_order],
    irreversible=True,
    on_unknown="retry",
    title="send the receipt",
    done="receipt sent",
)
def send_receipt(ctx: Context, o: OrderRequest) -> Receipt:
    return mail.send_receipt(ctx, o)


# --- what the services say happened, to compare with the engine's account -------------------------
@order.effect_reader("orders")
def order_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return orders.seen(keys)


@order.effect_reader("inventory")
def inventory_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return inventory.seen(keys)


@order.effect_reader("payments")
def payment_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return payment.seen(
        key for key in keys if f":{charge_card.name}:" in key
    )  # the bank is asked about nothing else


@order.effect_lister("payments")
def all_payments(first: str, last: str) -> Iterable[EffectReport]:
    return payment.seen_between(first, last)


@order.effect_reader("mail")
def mail_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return mail.seen(keys)


# Everything that a service has, of whichever saga of this shop: whose job is not there is an
# orphan.
@order.effect_lister("orders")
def all_orders(first: str, last: str) -> Iterable[EffectReport]:
    return orders.seen_between(first, last)


@order.effect_lister("inventory")
def all_reservations(first: str, last: str) -> Iterable[EffectReport]:
    return inventory.seen_between(first, last)


@order.effect_lister("mail")
def all_receipts(first: str, last: str) -> Iterable[EffectReport]:
    return mail.seen_between(first, last)


# --- how an effect without its job is taken back, for a person; a receipt is not ------------------
@order.undo_effect("orders")
def undo_order(ctx: Context, report: EffectReport) -> None:
    only(ctx, create_order)
    orders.void(ctx)


@order.undo_effect("inventory")
def undo_reservation(ctx: Context, report: EffectReport) -> None:
    only(ctx, reserve_stock)
    inventory.release(ctx)


@order.undo_effect("payments")
def undo_charge(ctx: Context, report: EffectReport) -> None:
    only(ctx, charge_card)
    payment.refund(ctx, int(report.detail.get("charged_cents", 0)))


# --- what must hold -------------------------------------------------------------------------------
order.invariant(money_is_whole)
order.invariant(all_or_nothing("orders", "inventory", "payments", "mail"))
order.invariant(books_agree)


# --- where a drill may play -----------------------------------------------------------------------
@order.test_environment
def stand_in_environment() -> AbstractContextManager[Any]:
    from surefoot.workers.sagas.order.stand_ins import (
        stand_ins,  # the bank is a web server: workers need not read its code
    )

    return stand_ins()
