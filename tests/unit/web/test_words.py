"""English in small pieces."""

from __future__ import annotations

from datetime import UTC, date, datetime

from surefoot.app.explain.words import at, counted, first_of, listed, sentence
from surefoot.app.store.views import short_name


def test_given_parts_when_joined_then_one_sentence() -> None:
    assert sentence("running it.", "", "waiting") == "Running it; waiting."
    assert sentence("charge_card waits") == "charge_card waits."
    assert sentence() == ""
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b and c")


def test_given_many_parts_when_listed_then_counted() -> None:
    many = [f"step_{n}" for n in range(12)]
    assert (counted(many, "undone"), counted(["a", "b"], "undone")) == (
        "12 steps undone",
        "a and b",
    )
    assert (
        first_of(many)
        == "step_0, step_1, step_2, step_3, step_4, step_5, step_6, step_7 and 4 more"
    )
    assert first_of(["a"]) == "a"


def test_given_time_when_said_then_with_its_date_unless_today() -> None:
    time = datetime(2026, 11, 22, 10, 42, 7, tzinfo=UTC)
    assert at(time, date(2026, 11, 22)) == "10:42:07 UTC"
    assert at(time, date(2026, 11, 23)) == "2026-11-22 10:42 UTC"


def test_given_id_when_named_then_short_and_always_the_same() -> None:
    name = short_name("order", "018f0000-0000-7000-8000-0000000fffff")
    assert name == "order-ZZZZ"
    assert short_name("order", "018f0000-0000-7000-8000-000000000001") == "order-0001"
