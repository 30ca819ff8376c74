"""What an author gets wrong. Each line that a checker has to tell is marked."""

from __future__ import annotations

from pydantic import BaseModel

import surefoot
from invoices.saga import Invoice, charge, invoice
from surefoot import Context, Retry


class Other(BaseModel):
    number: str


def wrong(ctx: Context, o: Invoice) -> None:
    surefoot.submit(invoice, Other(number="7"))  # told: the input of another saga
    surefoot.submit(invoice, o, kee="7")  # told: a misspelt keyword
    surefoot.submit(invoice, o, tags=7)  # told: a wrong argument
    number: int = charge(ctx, o)  # told: a wrong result type
    charge(ctx, number)  # told: a wrong argument of a step
    surefoot.cancel(surefoot.submit(invoice, o), why="")  # told: a job where its id belongs


@invoice.step(lan="mail")  # told: a misspelt keyword of a step
def first(ctx: Context, o: Invoice) -> None: ...


@invoice.step(lane="mail", retry=3)  # told: a wrong argument of a declaration
def second(ctx: Context, o: Invoice) -> None: ...


retry = Retry(limits=3)  # told: a misspelt keyword of a policy
