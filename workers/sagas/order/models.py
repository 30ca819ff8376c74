"""What goes into an order, and what its steps hand on to each other.

The limits of the input are said twice where pydantic and JSON Schema would read one pattern
differently (`$` matches before a line's end in Python, not in Rust): a web server without this code
validates by the schema alone.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from surefoot import refused_above, says, secret

ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"
# also what turns the reading direction
CONTROL = r"[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]"


def _visible(text: str) -> str:
    if re.search(CONTROL, text):
        raise ValueError("must not contain control characters")
    return text


def _line(pattern: str | None = None, *, longest: int) -> object:
    """Text of one line: what a field's annotation says besides `str`."""
    return Field(
        min_length=1,
        max_length=longest,
        pattern=pattern,
        json_schema_extra={"not": {"pattern": CONTROL}},
    )


# No colon: the names we make for orders that bring none have one, so the two kinds never meet.
OrderRef = Annotated[
    str,
    _line(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", longest=64),
    says("must be a reference such as A-17: letters, digits and . _ / -, a letter or digit first"),
    AfterValidator(_visible),
]
Card = Annotated[
    str,
    _line(r"^[A-Za-z0-9_-]+$", longest=64),
    says("must be a card's token such as tok_ok: letters, digits, _ and -"),
    secret(),
    AfterValidator(_visible),
]


class OrderRequest(BaseModel):
    """What a customer asks for. `amount_cents` is the price of the whole order; `order_ref`, the customer's own name for it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    customer: Annotated[
        str,
        _line(r"\S", longest=200),
        says("must be a name, in one line"),
        AfterValidator(_visible),
    ]
    email: Annotated[
        str,
        _line(ADDRESS, longest=254),
        says("must be an email address, such as ada@example.com"),
        AfterValidator(_visible),
    ]
    sku: Annotated[
        str,
        _line(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", longest=64),
        says("must be an article such as apple: letters, digits, . _ and -, without spaces"),
        AfterValidator(_visible),
    ]
    quantity: int = Field(ge=1, le=1000)
    amount_cents: Annotated[int, Field(gt=0, le=1_000_000_000), refused_above(100_000)]
    card: Card
    order_ref: OrderRef | None = None


class ChangeRequest(BaseModel):
    """So many more of what was ordered; `amount_cents` is what is paid on top."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    order_ref: OrderRef
    more: int = Field(ge=1, le=1000)
    amount_cents: Annotated[int, Field(gt=0, le=1_000_000_000), refused_above(100_000)]
    card: Card


def order_locks(o: OrderRequest | ChangeRequest) -> list[str]:
    """What a job about an order has to itself: that order, and never its article, whose orders
    would all wait for each other.

    An order without a name of the customer's own is known to its job alone, so nobody else can mean
    it.
    """
    return [f"order:{o.order_ref}"] if o.order_ref else []


class Result(BaseModel):
    """A step's result: kept as JSON by the engine and by the service's barrier."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Created(Result):
    order_id: int
    order_ref: str


class ChangeOpened(Result):
    """`quantity`: how many there were when the change began."""

    order_id: int
    sku: str
    quantity: int


class ChangeMade(Result):
    order_id: int
    quantity: int
    reservation: str


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
