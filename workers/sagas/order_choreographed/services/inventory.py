"""The inventory service: it holds goods for an order when it hears of one, and lets go of them when
it is given up.
"""

from __future__ import annotations

from collections.abc import Iterable

from surefoot import Context
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order_choreographed import desk
from surefoot.workers.sagas.order_choreographed.events import (
    Event,
    OrderConfirmed,
    OrderGivenUp,
    OrderPlaced,
    OrderShipped,
    StockRefused,
    StockReleased,
    StockReserved,
)
from surefoot.workers.sagas.order_choreographed.service import Route, Service

# the names of the steps are those of `order`, and so are the keys of the effects
RESERVE = "reserve_stock"

desk.desk_tables(inventory.metadata)


def on_placed(ctx: Context, event: OrderPlaced) -> Iterable[Event]:
    held = inventory.reserve_now(ctx, event.order_id, event.order.sku, event.order.quantity)
    return [StockReserved(reservation=held.reservation, sku=held.sku, quantity=held.quantity)]


def on_given_up(ctx: Context, event: OrderGivenUp) -> Iterable[Event]:
    back = inventory.release(ctx)
    return [StockReleased(quantity=back.quantity if back else 0)]


def on_confirmed(ctx: Context, event: OrderConfirmed) -> Iterable[Event]:
    gone = inventory.ship(ctx, event.reservation)
    return [OrderShipped(quantity=gone.quantity, order=event.order)]


service = Service(
    "inventory",
    inventory.database,
    (
        Route(OrderPlaced, on_placed, RESERVE, refuse=lambda reason: StockRefused(reason=reason)),
        Route(OrderGivenUp, on_given_up, RESERVE, "undo"),
        Route(OrderConfirmed, on_confirmed, "ship_order"),
    ),
)
