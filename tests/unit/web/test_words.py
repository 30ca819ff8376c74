"""English in small pieces."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from app.explain.words import at, happened, listed, sentence
from app.store.views import short_name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("charge_card", "card charged"),
        ("release_stock", "stock released"),
        ("send_receipt", "receipt sent"),
        ("ship_order", "order shipped"),
        ("cancel_long_trip", "long trip cancelled"),
        ("notify", "notified"),
        ("pay_bill", "bill paid"),
        ("deploy_app", "app deployed"),
    ],
)
def test_given_step_when_it_happened_then_said_in_words(name: str, words: str) -> None:
    assert happened(name) == words


def test_given_step_that_did_not_happen_then_said_too() -> None:
    assert happened("charge_card", negated=True) == "card not charged"


def test_given_parts_when_joined_then_one_sentence() -> None:
    assert sentence("running it.", "", "waiting") == "Running it; waiting."
    assert sentence("charge_card waits") == "charge_card waits."
    assert sentence() == ""
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b and c")


def test_given_time_when_said_then_with_its_date_unless_today() -> None:
    time = datetime(2026, 11, 22, 10, 42, 7, tzinfo=UTC)
    assert at(time, date(2026, 11, 22)) == "10:42:07 UTC"
    assert at(time, date(2026, 11, 23)) == "2026-11-22 10:42 UTC"


def test_given_id_when_named_then_short_and_always_the_same() -> None:
    name = short_name("order", "018f0000-0000-7000-8000-0000000fffff")
    assert name == "order-ZZZZ"
    assert short_name("order", "018f0000-0000-7000-8000-000000000001") == "order-0001"
