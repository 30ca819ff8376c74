"""The payment service: it charges the card of an order that it hears of, and sees that the money of
one given up is back.

The bank is somebody else's, so no transaction is open while it is asked: the intent is on record
before, under the key of the effect, and an attempt that did not hear the answer asks again under
the same key (see the service of `order`).

Its events go through a broker to everybody, so no card is in them: the caller that places an order
gives the card to this service and nobody else (`keep_card`), and the order carries a reference. The
card is kept until it is charged or the order given up.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from sqlalchemy import Column, String, Table, delete, select

from surefoot import Context
from surefoot.app.clock import UtcDateTime, after
from surefoot.workers.sagas.order.services import payment
from surefoot.workers.sagas.order.services.database import insert_or
from surefoot.workers.sagas.order_choreographed import desk
from surefoot.workers.sagas.order_choreographed.events import (
    CardCharged,
    CardDeclined,
    CardRefunded,
    Event,
    OrderGivenUp,
    OrderPlaced,
)
from surefoot.workers.sagas.order_choreographed.service import Route, Service

CHARGE = "charge_card"

desk.desk_tables(payment.metadata)

kept_cards = Table(
    "kept_cards",
    payment.metadata,
    Column("job", String(64), primary_key=True),
    Column("ref", String(64), nullable=False, unique=True),
    Column("card", String(64), nullable=False),
    Column("at", UtcDateTime(), nullable=False),
)


def keep_card(ctx: Context, card: str) -> str:
    """Give a job's card to this service.

    Returns the reference to it, the same at each repeat; nobody can guess it.
    """
    row = {"job": ctx.job_id, "ref": f"kept_{secrets.token_hex(16)}", "card": card, "at": after(0)}
    with payment.database.transaction() as tx:
        tx.execute(insert_or(tx, kept_cards).values(row).on_conflict_do_nothing())
        return str(
            tx.execute(select(kept_cards.c.ref).where(kept_cards.c.job == ctx.job_id)).scalar_one()
        )


def forget_card(job: str) -> None:
    """It is not needed any more."""
    with payment.database.transaction() as tx:
        tx.execute(delete(kept_cards).where(kept_cards.c.job == job))


def _card_of(ref: str) -> str:
    """The card of a reference. Anything else is a card: events of an older release carry it."""
    with payment.database.snapshot() as tx:
        return (
            tx.execute(
                select(kept_cards.c.card).where(kept_cards.c.ref == ref)
            ).scalar_one_or_none()
            or ref
        )


def on_placed(ctx: Context, event: OrderPlaced) -> Iterable[Event]:
    paid = payment.charge(ctx, event.order_id, event.order.amount_cents, _card_of(event.order.card))
    forget_card(ctx.job_id)
    return [CardCharged(key=paid.key, charge_id=paid.charge_id, amount_cents=paid.amount_cents)]


def on_given_up(ctx: Context, event: OrderGivenUp) -> Iterable[Event]:
    forget_card(ctx.job_id)
    back = payment.refund(ctx, event.amount_cents)
    return [CardRefunded(state=back.state, refunded_cents=back.refunded_cents)]


service = Service(
    "payments",
    payment.database,
    (
        Route(
            OrderPlaced,
            on_placed,
            CHARGE,
            remote=True,
            refuse=lambda reason: CardDeclined(reason=reason),
        ),
        Route(OrderGivenUp, on_given_up, CHARGE, "undo", remote=True),
    ),
)
