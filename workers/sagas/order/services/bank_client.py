"""Speaking to the bank over HTTP, and saying honestly what each silence means.

Not reached: nothing was sent (`NothingSent`). Reached, no whole answer in time: the outcome is
unknown (`BankUnclear`), and only asking again with the same key can tell. An answer is read within
a time and a size (`exchange`), never followed elsewhere, and believed only where it says what was
asked: this key, this amount, a state that this status can mean, a name of the charge that fits.
Whatever else it says is not an answer, so the outcome is unknown: never "charged", never "refused".
"""

from __future__ import annotations

import json
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from surefoot import Context, NothingSent, Rejected
from surefoot.workers.sagas.order.services.exchange import NotSent, Request, Unclear, exchange
from surefoot.workers.sagas.order.settings import order_settings

MAX_ANSWER_BYTES = 64 * 1024
MAX_BOOK_BYTES = 256 * 1024 * 1024
BOOK_S = 30.0
MOST_CENTS = 10**12
Cents = Annotated[int, Field(ge=0, le=MOST_CENTS)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ChargeId = Annotated[
    str, StringConstraints(pattern=r"^[!-~]{1,64}$")
]  # as long as our column, visible, of one line


class BankUnclear(Exception):
    """The bank gave no clear answer: whether it acted is unknown."""


class KeyVoided(Rejected):
    """The bank refuses this charge: its key was voided."""


class BankCharge(BaseModel):
    """What the bank says of a key."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    key: Key
    charge_id: ChargeId | None
    amount_cents: Cents
    refunded_cents: Cents
    state: Literal["settled", "refunded", "declined", "void"]


class Movement(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    key: Key
    kind: Literal["charge", "refund"]
    amount_cents: Cents


class Book(BaseModel):
    """The bank's whole book: the state of each key, and every movement of money, oldest first."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    charges: list[BankCharge]
    movements: list[Movement]


def charge(ctx: Context, amount_cents: int, card: str) -> BankCharge:
    """Charge a card under the effect's key. Raises: Rejected, KeyVoided, NothingSent, BankUnclear."""
    body = {"amount_cents": amount_cents, "card": card}
    headers = {"Content-Type": "application/json", "Idempotency-Key": ctx.key, **_trace(ctx)}
    status, content = _call(
        "POST", "/charges", _time_left(ctx), content=json.dumps(body).encode(), headers=headers
    )
    if status == 402:
        raise Rejected("The bank declined the card.")
    if status == 409:
        raise KeyVoided()
    if status in (400, 422):
        raise Rejected(
            "The bank refused the charge: it knows no such card, or the request is wrong."
        )
    if status not in (200, 201):
        raise BankUnclear(f"the bank answered {status}")
    entry = _entry(content, ctx.key)
    if entry.state != "settled" or entry.charge_id is None or entry.refunded_cents:
        raise BankUnclear(f"the bank answered {status}, and calls the charge {entry.state}")
    if entry.amount_cents != amount_cents:
        raise BankUnclear("the bank answered for another amount")
    return entry


def void(ctx: Context) -> BankCharge:
    """See that the action's charge is refunded or can never come. Raises: NothingSent, BankUnclear."""
    status, content = _call(
        "PUT", f"{_path(ctx.action_key)}/void", _time_left(ctx), headers=_trace(ctx)
    )
    if status != 200:
        raise BankUnclear(f"the bank answered {status}")
    entry = _entry(content, ctx.action_key)
    if entry.state == "settled" or entry.refunded_cents != (
        entry.amount_cents if entry.state == "refunded" else 0
    ):
        raise BankUnclear(f"the bank answered {status}, and calls the charge {entry.state}")
    return entry


def look(key: str, timeout_s: float | None = None) -> BankCharge | None:
    """What the bank says of a key, None when it never heard of it.

    Raises: NothingSent, BankUnclear.
    """
    status, content = _call("GET", _path(key), timeout_s or order_settings().bank_timeout_seconds)
    if status == 404:
        return None
    if status != 200:
        raise BankUnclear(f"the bank answered {status}")
    return _entry(content, key)


def look_for(ctx: Context) -> BankCharge | None:
    """As `look`, for the action of a step, within its time."""
    return look(ctx.action_key, _time_left(ctx))


def book() -> Book:
    """The bank's whole book. Raises: NothingSent, BankUnclear."""
    status, content = _call("GET", "/ledger", BOOK_S, longest=MAX_BOOK_BYTES)
    if status != 200:
        raise BankUnclear(f"the bank answered {status}")
    try:
        return Book.model_validate_json(content)
    except ValidationError as error:
        raise BankUnclear("the bank's book cannot be read") from error


def _call(
    method: str,
    path: str,
    timeout_s: float,
    *,
    longest: int = MAX_ANSWER_BYTES,
    content: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """One request.

    Returns: status and body. The time-out holds for the whole of it, not for each byte.
    """
    url = order_settings().bank() + path
    try:
        return exchange(Request(method, url, timeout_s, longest, content, headers or {}))
    except NotSent as error:
        raise NothingSent(f"The bank cannot be reached: {error}") from error
    except Unclear as error:
        raise BankUnclear(f"the bank gave no clear answer: {error}") from error


def _time_left(ctx: Context) -> float:
    left = min(order_settings().bank_timeout_seconds, ctx.remaining())
    if left <= 0:
        raise NothingSent("No time is left to ask the bank.")
    return left


def _trace(ctx: Context) -> dict[str, str]:
    """The header by which the bank's own records lead back to the request."""
    return {"traceparent": ctx.traceparent} if ctx.traceparent else {}


def _path(key: str) -> str:
    return f"/charges/{quote(key, safe=':')}"


def _entry(content: bytes, key: str) -> BankCharge:
    try:
        entry = BankCharge.model_validate_json(content)
    except ValidationError as error:
        raise BankUnclear("the bank's answer cannot be read") from error
    if entry.key != key:
        raise BankUnclear("the bank answered for another key")
    return entry
