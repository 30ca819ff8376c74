"""Speaking to the bank over HTTP, and saying honestly what each silence means.

Not reached: nothing was sent (`NothingSent`). Reached, no whole answer in time: the outcome is unknown (`BankUnclear`),
and only asking again with the same key can tell. An answer is read up to a limit, checked, and never followed elsewhere.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from surefoot import Context, NothingSent, Rejected
from workers.sagas.order.settings import order_settings

MAX_ANSWER_BYTES = 64 * 1024
MAX_BOOK_BYTES = 256 * 1024 * 1024
BOOK_S = 30.0


class BankUnclear(Exception):
    """The bank gave no clear answer: whether it acted is unknown."""


class KeyVoided(Rejected):
    """The bank refuses this charge: its key was voided."""


class BankCharge(BaseModel):
    """What the bank says of a key."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    key: str
    charge_id: str | None
    amount_cents: int
    refunded_cents: int
    state: Literal["settled", "refunded", "declined", "void"]


class Movement(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    key: str
    kind: Literal["charge", "refund"]
    amount_cents: int


class Book(BaseModel):
    """The bank's whole book: the state of each key, and every movement of money, oldest first."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    charges: list[BankCharge]
    movements: list[Movement]


def charge(ctx: Context, amount_cents: int, card: str) -> BankCharge:
    """Charge a card under the effect's key. Raises: Rejected, KeyVoided, NothingSent, BankUnclear."""
    body = {"amount_cents": amount_cents, "card": card}
    status, content = _call("POST", "/charges", _time_left(ctx), json=body, headers={"Idempotency-Key": ctx.key, **_trace(ctx)})
    if status == 402:
        raise Rejected("The bank declined the card.")
    if status == 409:
        raise KeyVoided()
    if status in (400, 422):
        raise Rejected("The bank refused the charge: it knows no such card, or the request is wrong.")
    if status not in (200, 201):
        raise BankUnclear(f"the bank answered {status}")
    return _entry(content, ctx.key)


def void(ctx: Context) -> BankCharge:
    """See that the action's charge is refunded or can never come. Raises: NothingSent, BankUnclear."""
    status, content = _call("PUT", f"{_path(ctx.action_key)}/void", _time_left(ctx), headers=_trace(ctx))
    if status != 200:
        raise BankUnclear(f"the bank answered {status}")
    return _entry(content, ctx.action_key)


def look(key: str, timeout_s: float | None = None) -> BankCharge | None:
    """What the bank says of a key, None when it never heard of it. Raises: NothingSent, BankUnclear."""
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


def _call(method: str, path: str, timeout_s: float, *, longest: int = MAX_ANSWER_BYTES, **request: object) -> tuple[int, bytes]:
    """One request. Returns: status and body. The time-out holds for the whole of it, not for each byte."""
    url = order_settings().bank() + path
    deadline = time.monotonic() + timeout_s
    content = bytearray()
    try:
        with _client(os.getpid()).stream(method, url, timeout=timeout_s, **request) as answer:  # type: ignore[arg-type]
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > longest:
                    raise BankUnclear(f"the bank's answer is longer than {longest} bytes")
                if time.monotonic() > deadline:
                    raise BankUnclear(f"the bank's answer did not end within {timeout_s:g} s")
            return answer.status_code, bytes(content)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
        raise NothingSent(f"The bank cannot be reached: {error}") from error
    except httpx.TimeoutException as error:
        raise BankUnclear(f"the bank did not answer within {timeout_s:g} s") from error
    except httpx.HTTPError as error:
        raise BankUnclear(f"the connection to the bank broke: {error}") from error


@lru_cache(maxsize=2)
def _client(pid: int) -> httpx.Client:
    # A connection for each request: one kept open may be closed by the bank just as it is used, and that looks like
    # an unknown outcome. Making a client is dear (20 ms), so each process has one.
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), follow_redirects=False, trust_env=False)


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
