"""What a bank may answer, and what is believed of it: another amount, another state, a head that
never ends, a bomb.
"""

from __future__ import annotations

import gzip
import resource
import time
from collections.abc import Iterator
from typing import Any

import pytest

from surefoot import NEVER, Happened
from surefoot.workers.sagas.order.services import bank_client, payment
from surefoot.workers.sagas.order.services.bank_client import BankUnclear
from surefoot.workers.sagas.order.services.database import close_databases
from tests.support.hostile_bank import Answer, HostileBank, dripped, hostile_bank, poured, said

KEY = "job-1:charge_card::action"
GOOD = {
    "key": KEY,
    "charge_id": "ch_1",
    "amount_cents": 1250,
    "refunded_cents": 0,
    "state": "settled",
}
GONE = {**GOOD, "refunded_cents": 1250, "state": "refunded"}
HEAD = b"HTTP/1.1 201 X\r\nContent-Type: application/json\r\n"
TIMEOUT_S = 0.6


@pytest.fixture
def bank(home: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileBank]:
    monkeypatch.setenv("SUREFOOT_BANK_TIMEOUT_SECONDS", str(TIMEOUT_S))
    with hostile_bank() as bank:
        monkeypatch.setenv("SUREFOOT_BANK_URL", bank.url)
        yield bank
    close_databases()


def states() -> list[str]:
    return [row.state for row in payment.all_charges()]


def charge(context: Any, attempt: int = 1) -> Any:
    return payment.charge(context("charge_card", attempt=attempt), 1, 1250, "tok_ok")


def test_given_the_right_answer_when_charged_then_it_is_believed_and_was_asked_for_as_it_is(
    bank: HostileBank, context: Any
) -> None:
    bank.answer = said(201, GOOD)
    assert charge(context).charge_id == "ch_1"
    assert states() == ["settled"]
    assert "accept-encoding: identity" in bank.asked[0].lower()
    bank.answer = said(200, GONE)
    assert payment.refund(context("charge_card", "undo"), 1250).refunded_cents == 1250


STRANGE: dict[str, Answer] = {
    "another amount": said(201, {**GOOD, "amount_cents": 1}),
    "a larger amount": said(201, {**GOOD, "amount_cents": 125_000}),
    "an amount as text": said(201, {**GOOD, "amount_cents": "1250"}),
    "an amount below zero": said(201, {**GOOD, "amount_cents": -1250}),
    "an amount with a fraction": said(201, {**GOOD, "amount_cents": 1250.5}),
    "another key": said(201, {**GOOD, "key": "another"}),
    "declined": said(201, {**GOOD, "state": "declined"}),
    "void": said(201, {**GOOD, "state": "void"}),
    "refunded": said(201, GONE),
    "refunded in part": said(201, {**GOOD, "refunded_cents": 5}),
    "a state that is not known": said(201, {**GOOD, "state": "pending"}),
    "no name of the charge": said(201, {**GOOD, "charge_id": None}),
    "an empty name": said(201, {**GOOD, "charge_id": ""}),
    "a name of 50 KB": said(201, {**GOOD, "charge_id": "c" * 50_000}),
    "a name of HTML": said(201, {**GOOD, "charge_id": "<script>alert(1)</script> now"}),
    "a name of two lines": said(201, {**GOOD, "charge_id": "ch_1\n"}),
    "HTML": said(201, b"<html>"),
    "nothing": said(201, b""),
    "another shape": said(201, {}),
    "deep nesting": said(201, b"[" * 50_000),
    "too long": said(201, b" " * 100_000),
    "a redirect": said(302, b"", "Location: http://127.0.0.1:1/"),
    "an error": said(500, b"{}"),
    "away": said(503, b"{}"),
    "what was not asked for": said(
        201, gzip.compress(str(GOOD).encode()), "Content-Encoding: gzip"
    ),
    "no HTTP": lambda _: [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "half of it": lambda _: [HEAD + b"Content-Length: 500\r\n\r\n{"],
    "silence": lambda bank: [b""] if bank.pause(TIMEOUT_S * 3) else [],
}


@pytest.mark.parametrize("name", STRANGE)
def test_given_a_strange_answer_when_charged_then_the_outcome_is_unknown(
    bank: HostileBank, context: Any, name: str
) -> None:
    bank.answer = STRANGE[name]
    with pytest.raises(BankUnclear):
        charge(context)
    assert states() == ["intent"]
    bank.answer = said(
        201, GOOD
    )  # asked again under the same key, it says what it should have said
    assert charge(context, 2).charge_id == "ch_1"
    assert states() == ["settled"]


@pytest.mark.parametrize(
    "entry",
    [
        GOOD,
        {**GONE, "refunded_cents": 1},
        {**GONE, "amount_cents": 1, "refunded_cents": 1},
        {**GONE, "key": "another"},
        {**GOOD, "state": "void", "refunded_cents": 1250},
    ],
)
def test_given_a_refund_that_is_not_one_when_undone_then_the_outcome_is_unknown(
    bank: HostileBank, context: Any, entry: dict[str, Any]
) -> None:
    bank.answer = said(201, GOOD)
    charge(context)
    bank.answer = said(200, entry)
    with pytest.raises(BankUnclear):
        payment.refund(context("charge_card", "undo"), 1250)
    assert states() == ["settled"]


def test_given_another_amount_when_probed_then_it_is_neither_the_charge_nor_never(
    bank: HostileBank, context: Any
) -> None:
    bank.answer = STRANGE["silence"]
    with pytest.raises(BankUnclear):
        charge(context)
    bank.answer = said(200, {**GOOD, "amount_cents": 1})
    for kind in ("action", "undo"):
        with pytest.raises(BankUnclear, match="another amount"):
            payment.find(context("charge_card", kind))
    bank.answer = said(200, GOOD)
    assert isinstance(payment.find(context("charge_card")), Happened)
    bank.answer = said(404, {})
    assert payment.find(context("charge_card")) is NEVER


# --- time ----------------------------------------------------------------------------------------
# --------------------
SLOW: dict[str, Answer] = {
    "a dripped status line": dripped(b"HTTP/1.1 20", b"0"),
    "a dripped head": dripped(HEAD, b"X"),
    "headers without end": dripped(HEAD, b"X-More: 1\r\n"),
    "100 Continue for ever": dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a dripped body": dripped(HEAD + b"Content-Length: 1000\r\n\r\n", b" "),
    "dripped chunks": dripped(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("name", SLOW)
def test_given_a_bank_that_drips_when_charged_then_the_whole_exchange_ends_in_time(
    bank: HostileBank, context: Any, name: str
) -> None:
    bank.answer = SLOW[name]
    began = time.monotonic()
    with pytest.raises(BankUnclear):
        charge(context)
    assert (
        time.monotonic() - began < 10 * TIMEOUT_S
    )  # on a busy machine; before, for as long as the bank liked
    assert states() == ["intent"]


# --- size ----------------------------------------------------------------------------------------
# --------------------
MEGABYTE = b" " * (1 << 20)
BOMB = gzip.compress(MEGABYTE * 200, compresslevel=1)
LARGE: dict[str, Answer] = {
    "a body": poured(HEAD + b"Content-Length: 1000000000\r\n\r\n", MEGABYTE, 1000),
    "a body without a length": poured(HEAD + b"\r\n", MEGABYTE, 1000),
    "chunks": poured(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + MEGABYTE + b"\r\n", 1000
    ),
    "a head": poured(HEAD + b"X-More: ", b"x" * (1 << 20), 1000),
    "headers": poured(HEAD, b"X-More: 1\r\n" * 100_000, 1000),
    "100 Continue": poured(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000, 1000),
    "a bomb": said(201, BOMB, "Content-Encoding: gzip"),
    "a bomb of bombs": said(201, gzip.compress(BOMB), "Content-Encoding: gzip, gzip"),
}


@pytest.mark.parametrize("name", LARGE)
def test_given_more_than_an_answer_may_have_when_charged_then_it_is_left_unread(
    bank: HostileBank, context: Any, name: str
) -> None:
    bank.answer = LARGE[name]
    states()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BankUnclear):
        charge(context)
    assert bank.sent < 64 << 20  # what lies in the system's buffers, not what it would have sent
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
    assert states() == ["intent"]
    assert bank_client.MAX_ANSWER_BYTES < 1 << 20
