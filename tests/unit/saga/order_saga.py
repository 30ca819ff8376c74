"""The order saga as a developer writes it, with services that are dictionaries: the example that these tests share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Field

from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.inputs import refused_above, secret
from surefoot.app.saga.outcomes import NEVER, UNKNOWN, Happened, NotYet, Probed, Rejected
from surefoot.app.saga.policies import Retry


class OrderRequest(BaseModel):
    customer: str = Field(min_length=1)
    sku: str
    quantity: int = Field(gt=0)
    amount_cents: Annotated[int, refused_above(100_000)]
    card: Annotated[str, secret()]
    order_ref: str | None = None


class Created(BaseModel):
    order_id: str


class Reserved(BaseModel):
    sku: str
    quantity: int


class Charge(BaseModel):
    charge_id: str
    cents: int


BANK: dict[str, Charge] = {}

order = Saga(
    "order",
    version=1,
    input=OrderRequest,
    sla="10m",
    examples=[
        OrderRequest(customer="ann", sku="apple", quantity=3, amount_cents=900, card="tok_ok")
    ],
)


@order.step(lane="orders")
def create_order(ctx: Context, o: OrderRequest) -> Created:
    return Created(order_id=f"{o.customer}-1")


@create_order.compensate(fidelity="exact")
def void_order(ctx: Context, o: OrderRequest, created: Created | None) -> None:
    return None


@order.step(lane="inventory", after=[create_order], retry=Retry(limit=7), timeout="30s")
def reserve_stock(ctx: Context, o: OrderRequest, created: Created) -> Reserved | NotYet:
    if o.sku == "late":
        return NotYet(after="2s")
    if o.sku == "none":
        raise Rejected("no stock")
    return Reserved(sku=o.sku, quantity=o.quantity)


@reserve_stock.compensate(fidelity="exact")
def release_stock(ctx: Context, o: OrderRequest, reserved: Reserved | None) -> Any:
    return None if reserved is None else {"released": reserved.quantity}


@order.step(lane="payments", after=[create_order])
def charge_card(ctx: Context, o: OrderRequest, created: Created) -> Charge:
    BANK[ctx.key] = Charge(charge_id=f"ch-{created.order_id}", cents=o.amount_cents)
    return BANK[ctx.key]


@charge_card.compensate(
    fidelity="equivalent",
    note="the refund shows on the statement beside the charge",
    retry=Retry(limit=20),
)
def refund_card(ctx: Context, o: OrderRequest, charge: Charge | None) -> None:
    BANK.pop(ctx.action_key, None)


@charge_card.probe
def find_charge(ctx: Context, o: OrderRequest) -> Probed:
    if o.card == "tok_doubt":
        return UNKNOWN
    return Happened(BANK[ctx.action_key]) if ctx.action_key in BANK else NEVER


@order.step(lane="orders", after=[reserve_stock, charge_card], pivot=True)
def confirm_order(ctx: Context, o: OrderRequest, reserved: Reserved, charge: Charge) -> str:
    return f"{reserved.quantity} for {charge.cents}"


@order.step(lane="inventory")
def ship_order(ctx: Context, o: OrderRequest) -> None: ...


@order.step(lane="mail", irreversible=True, on_unknown="retry")
def send_receipt(ctx: Context, o: OrderRequest) -> None: ...


@order.effect_reader("payments")
def charges(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key in BANK]


@order.invariant
def money(world: Any) -> list[str]:
    return []
