"""The payment service: it charges the card of an order that it hears of, and sees that the money of one given up is back.

The bank is somebody else's, so no transaction is open while it is asked: the intent is on record before, under the key
of the effect, and an attempt that did not hear the answer asks again under the same key (see the service of `order`).
"""

from __future__ import annotations

from collections.abc import Iterable

from surefoot import Context
from workers.sagas.order.services import payment
from workers.sagas.order_choreographed import desk
from workers.sagas.order_choreographed.events import CardCharged, CardDeclined, CardRefunded, Event, OrderGivenUp, OrderPlaced
from workers.sagas.order_choreographed.service import Route, Service

CHARGE = "charge_card"

desk.desk_tables(payment.metadata)


def on_placed(ctx: Context, event: OrderPlaced) -> Iterable[Event]:
    paid = payment.charge(ctx, event.order_id, event.order.amount_cents, event.order.card)
    return [CardCharged(key=paid.key, charge_id=paid.charge_id, amount_cents=paid.amount_cents)]


def on_given_up(ctx: Context, event: OrderGivenUp) -> Iterable[Event]:
    back = payment.refund(ctx, event.amount_cents)
    return [CardRefunded(state=back.state, refunded_cents=back.refunded_cents)]


service = Service(
    "payments",
    payment.database,
    (
        Route(OrderPlaced, on_placed, CHARGE, remote=True, refuse=lambda reason: CardDeclined(reason=reason)),
        Route(OrderGivenUp, on_given_up, CHARGE, "undo", remote=True),
    ),
)
