"""The order without a coordinator, as a job: `place_order` hands it to the orders service, the rest
only watches.

    place_order ─> await_answers ─> confirm_order ─> await_completion
    (withdraw)                      (no return)

Who reserves, charges, ships and writes reacts to events (`services/`). The job is one participant
more: the customer's agent. It places the order, and has the last word on it when everybody has
answered. Without that word an order could be confirmed in the moment in which its job turns, and
what the engine undoes would stand for ever; with it a cancel is in time until the engine's own
point of no return. If every worker stood still the order would land all the same: what was
confirmed is shipped, what was not is given up by the orders service's timer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from surefoot import (
    NEVER,
    ActionUndone,
    Context,
    EffectReport,
    EffectState,
    Happened,
    NotYet,
    Probed,
    Rejected,
    Retry,
    Saga,
)
from surefoot.workers.sagas.order.invariants import all_or_nothing, books_agree, money_is_whole
from surefoot.workers.sagas.order.models import Created, OrderRequest, Result, Voided
from surefoot.workers.sagas.order.services import inventory, mail, payment
from surefoot.workers.sagas.order.services import order as orders_book
from surefoot.workers.sagas.order_choreographed.services import orders, payments
from surefoot.workers.sagas.order_choreographed.services.orders import Standing
from surefoot.workers.sagas.order_choreographed.settings import event_settings

# those that cannot work are refused when a process begins, not in the middle of an order
event_settings()

_EXAMPLE = OrderRequest(
    customer="Ada",
    email="ada@example.org",
    sku="apple",
    quantity=2,
    amount_cents=1250,
    card="tok_ok",
)
FRACTIONS = {"placed": 0.2, "given_up": 0.3, "confirmed": 0.6}
PATIENCE = Retry(limit=20)  # behind the point of no return, and on the way back

order_choreographed = Saga(
    "order_choreographed",
    version=1,
    input=OrderRequest,
    sla="15m",
    examples=[(_EXAMPLE, "completed")],
    summary="{quantity} × {sku} for {customer}, {amount_cents:cents}",
)


class Ended(Result):
    """`phase`: completed."""

    order_id: int
    phase: str


@order_choreographed.step(lane="orders", title="place the order", done="order placed")
def place_order(ctx: Context, o: OrderRequest) -> Created:
    try:
        # the order goes through a broker to every service: the card goes to the one that needs it
        return orders.place(
            ctx, o.model_copy(update={"card": payments.keep_card(ctx, o.card)}), asks_customer=True
        )
    except (Rejected, ActionUndone):
        payments.forget_card(ctx.job_id)
        raise


@place_order.compensate(
    fidelity="equivalent",
    note="a card that was charged shows the refund beside the charge",
    retry=PATIENCE,
    undone="order withdrawn",
)
def withdraw_order(
    ctx: Context, o: OrderRequest, created: Created | None
) -> Voided | NotYet | None:
    payments.forget_card(ctx.job_id)  # confirmed or not, it is charged already or never will be
    return orders.withdraw(ctx)


@order_choreographed.step(
    lane="orders",
    no_effect=True,
    title="wait for goods and payment",
    done="goods and payment answered for",
)
def await_answers(ctx: Context, o: OrderRequest, created: Created) -> Created | NotYet:
    standing = _standing(ctx)
    if standing.phase in ("given_up", "voided", "never"):
        raise Rejected(standing.reason or "The order was never placed.")
    return created if standing.answered else orders.look_again(standing)


@order_choreographed.step(
    lane="orders", pivot=True, title="confirm the order", done="order confirmed"
)
def confirm_order(ctx: Context, o: OrderRequest, created: Created) -> Created:
    orders.confirm(ctx)
    return created


@confirm_order.probe
def find_confirmation(ctx: Context, o: OrderRequest) -> Probed:
    standing = orders.standing(ctx.job_id)
    if standing is None or standing.phase not in ("confirmed", "completed"):
        return NEVER
    return Happened(
        Created(order_id=orders.confirm(ctx), order_ref=o.order_ref or f"job:{ctx.job_id}")
    )


@order_choreographed.step(
    lane="orders",
    no_effect=True,
    retry=PATIENCE,
    title="wait for shipping and receipt",
    done="goods shipped and receipt sent",
)
def await_completion(ctx: Context, o: OrderRequest, created: Created) -> Ended | NotYet:
    standing = _standing(ctx)
    if standing.phase == "completed" and standing.without:
        raise Rejected(standing.without)  # past the point of no return: the job's owner is asked
    if standing.phase == "completed":
        return Ended(order_id=created.order_id, phase=standing.phase)
    return orders.look_again(standing)


def _standing(ctx: Context) -> Standing:
    """Where the order stands, shown to readers of the job.

    Raises: LookupError when there is no such order.
    """
    standing = orders.standing(ctx.job_id)
    if standing is None:
        raise LookupError(f"the orders service knows nothing of {ctx.job_id}")
    if standing.phase in FRACTIONS:
        ctx.progress(FRACTIONS[standing.phase], standing.help or standing.phase.replace("_", " "))
    return standing


# --- what the services say happened ---------------------------------------------------------------
# The engine knows one effect, the order. The services know what it was made of, so each answers under the order's key.
@order_choreographed.effect_reader("orders")
def order_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return orders_book.seen(keys)


@order_choreographed.effect_reader("inventory")
def inventory_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return _of_orders(keys, "reserve_stock", inventory.seen)


@order_choreographed.effect_reader("payments")
def payment_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return _of_orders(keys, "charge_card", payment.seen)


@order_choreographed.effect_reader("mail")
def mail_effects(keys: Iterable[str]) -> Iterable[EffectReport]:
    return _of_orders(keys, "send_receipt", mail.seen)


def _of_orders(keys: Iterable[str], step: str, seen: Any) -> Iterator[EffectReport]:
    """What a service says of its part of an order, under the key of the order's placing.

    What never was is left out.
    """
    wanted = {
        key.replace(f":{orders.PLACE}:", f":{step}:"): key
        for key in keys
        if f":{orders.PLACE}:" in key
    }
    for part in seen(list(wanted)):
        if part.state != EffectState.NONE:
            yield EffectReport(wanted[part.key], part.state, {**part.detail, "effect": part.key})


# `order` lists what the services have, and takes back goods and money under the same keys; the
# order itself is withdrawn here.
@order_choreographed.undo_effect("orders")
def undo_order(ctx: Context, report: EffectReport) -> None:
    if ctx.step != place_order.name:
        raise Rejected(f"{ctx.step} has no undo.")
    payments.forget_card(ctx.job_id)
    if isinstance(orders.withdraw(ctx), NotYet):
        raise RuntimeError("It is on its way back; the services have not answered yet.")


# --- what must hold -------------------------------------------------------------------------------
order_choreographed.invariant(money_is_whole)
order_choreographed.invariant(all_or_nothing("orders", "inventory", "payments", "mail"))
order_choreographed.invariant(books_agree)


@order_choreographed.test_environment
def stand_in_environment() -> AbstractContextManager[Any]:
    from surefoot.workers.sagas.order_choreographed.stand_ins import (
        stand_ins,  # workers need not read its code
    )

    return stand_ins()
