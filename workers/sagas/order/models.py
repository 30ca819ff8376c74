"""What goes into an order, and what its steps hand on to each other.

The limits of the input are said twice where pydantic and JSON Schema would read one pattern differently (`$` matches
before a line's end in Python, not in Rust): a web server without this code validates by the schema alone.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from surefoot import needs_approval_above, secret

ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"
CONTROL = r"[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]"  # also what turns the reading direction


def _visible(text: str) -> str:
    if re.search(CONTROL, text):
        raise ValueError("must not contain control characters")
    return text


def _line(pattern: str | None = None, *, longest: int) -> object:
    """Text of one line: what a field's annotation says besides `str`."""
    return Field(min_length=1, max_length=longest, pattern=pattern, json_schema_extra={"not": {"pattern": CONTROL}})


class OrderRequest(BaseModel):
    """What a customer asks for. `amount_cents` is the price of the whole order."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    customer: Annotated[str, _line(r"\S", longest=200), AfterValidator(_visible)]
    email: Annotated[str, _line(ADDRESS, longest=254), AfterValidator(_visible)]
    sku: Annotated[str, _line(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", longest=64), AfterValidator(_visible)]
    quantity: int = Field(ge=1, le=1000)
    amount_cents: Annotated[int, Field(gt=0, le=1_000_000_000), needs_approval_above(100_000)]
    card: Annotated[str, _line(r"^[A-Za-z0-9_-]+$", longest=64), secret(), AfterValidator(_visible)]
    # No colon: the names we make for orders that bring none have one, so the two kinds never meet.
    order_ref: Annotated[str, _line(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", longest=64), AfterValidator(_visible)] | None = None


class Result(BaseModel):
    """A step's result: kept as JSON by the engine and by the service's barrier."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Created(Result):
    order_id: int
    order_ref: str


class Voided(Result):
    order_id: int


class Reserved(Result):
    """`reservation`: the effect's key, by which inventory knows it."""

    reservation: str
    sku: str
    quantity: int


class Released(Result):
    quantity: int


class Charge(Result):
    """`key`: the effect's key, by which the bank knows it; `charge_id`: the bank's own name for it."""

    key: str
    charge_id: str
    amount_cents: int


class Refund(Result):
    """`state`: refunded, void (nothing had been charged, and nothing can be any more) or declined."""

    state: str
    refunded_cents: int


class Confirmed(Result):
    order_id: int
    order_ref: str
    reservation: str
    charge_id: str


class Shipped(Result):
    reservation: str
    quantity: int


class Receipt(Result):
    """`message_id`: of the mail, made of the effect's key, so that a receiver can tell a repeat."""

    message_id: str
