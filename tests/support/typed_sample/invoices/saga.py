"""Everything of the public API that an author writes, without a word that hides a type."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy.orm import Session

import surefoot
from surefoot import NEVER, Context, Happened, NotYet, Probed, Rejected, Retry, Saga


class Invoice(BaseModel):
    number: str
    amount_cents: int


class Charge(BaseModel):
    receipt: str


invoice = Saga("invoice", version=1, input=Invoice, examples=[Invoice(number="7", amount_cents=9)])


@invoice.step(lane="billing", retry=Retry(limit=5), timeout="10s")
def charge(ctx: Context, o: Invoice) -> Charge:
    if o.amount_cents > 100_000:
        raise Rejected("too much for a card")
    return Charge(receipt=f"{ctx.key}:{o.amount_cents}")


@charge.compensate(fidelity="equivalent", note="a refund is shown beside the charge")
def refund(ctx: Context, o: Invoice, charged: Charge | None) -> None:
    ctx.progress(0.5, f"refund {charged.receipt if charged else o.number}")


@charge.probe
def find_charge(ctx: Context, o: Invoice) -> Probed:
    return Happened(Charge(receipt=ctx.action_key)) if o.amount_cents else NEVER


@invoice.step(lane="mail", after=[charge], undo=None, note="the mail stays where it is")
def send(ctx: Context, o: Invoice, charged: Charge) -> str | NotYet:
    return f"{o.number} {charged.receipt} {ctx.tenant}"


def bill(session: Session, number: str) -> surefoot.JobRef:
    """An invoice and its job, or neither."""
    asked = Invoice(number=number, amount_cents=900)
    return surefoot.submit(invoice, asked, key=number, tags=["may"], connection=session)


def paid(ref: surefoot.JobRef) -> bool:
    view: surefoot.JobView = ref.wait(30)
    return view.state == "completed" and [step.name for step in view.steps] == ["charge", "send"]


def receipt(ctx: Context, o: Invoice) -> str:
    return charge(ctx, o).receipt  # a step is still its function
