"""A form from a schema, and back."""

from __future__ import annotations

from typing import Any

import pytest

from surefoot.web.pages.forms import Field, faulty, fields_of, filled, read_input

SCHEMA: dict[str, Any] = {
    "$defs": {"Size": {"enum": ["S", "M"], "type": "string"}, "Place": {"type": "object"}},
    "properties": {
        "name": {"type": "string", "title": "Name", "maxLength": 40, "examples": ["Ada"]},
        "amount_cents": {"type": "integer", "title": "Amount Cents", "default": 1250},
        "count": {"type": "integer", "description": "How many?"},
        "ratio": {"type": "number"},
        "gift": {"type": "boolean", "default": False},
        "size": {"$ref": "#/$defs/Size"},
        "card": {"type": "string", "writeOnly": True},
        "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None},
        "note": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "default": None},
    },
    "required": ["name", "amount_cents", "count", "ratio", "size", "card"],
}
FILLED = {
    "f.name": "Grace",
    "f.amount_cents": "99.90",
    "f.count": "3",
    "f.ratio": "0.5",
    "f.size": '"M"',
    "f.card": "tok",
}


def fields() -> dict[str, Field]:
    return {field.name: field for field in fields_of("any", SCHEMA)}


def test_given_schema_when_drawn_then_a_fitting_field_for_each_property() -> None:
    found = fields()
    assert {name: field.kind for name, field in found.items()} == {
        "name": "text", "amount_cents": "money", "count": "whole", "ratio": "number", "gift": "yes_no", "size": "choice", "card": "text",
        "place": "json", "note": "text",
    }  # fmt: skip
    assert (found["name"].value, found["amount_cents"].value, found["amount_cents"].label) == (
        "Ada",
        "12.50",
        "Amount",
    )
    assert (found["name"].required, found["note"].required, found["note"].longest) == (
        True,
        False,
        9,
    )
    assert found["count"].help == "How many?"
    assert found["card"].secret


def test_given_filled_form_when_read_then_typed_input_without_empty_optionals() -> None:
    value, faults = read_input(
        list(fields().values()),
        FILLED | {"f.note": "  ", "f.gift": "yes", "f.place": '{"city": "Oslo"}'},
    )
    assert faults == []
    assert value == {
        "name": "Grace", "amount_cents": 9990, "count": 3, "ratio": 0.5, "gift": True, "size": "M", "card": "tok",
        "place": {"city": "Oslo"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("name", ""),
        ("count", "3.0"),
        ("count", "three"),
        ("count", "9" * 30),
        ("count", "--3"),
        ("ratio", "x"),
        ("place", "{"),
    ]
    + [
        ("amount_cents", "12.345"),
        ("amount_cents", "much"),
        ("amount_cents", "NaN"),
        ("amount_cents", "1e99"),
        ("amount_cents", ""),
    ],
)
def test_given_unreadable_value_when_read_then_fault_at_its_field(name: str, text: str) -> None:
    _, faults = read_input(list(fields().values()), FILLED | {f"f.{name}": text})
    assert [fault["pointer"] for fault in faults] == [f"/input/{name}"]


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("12", 1200),
        ("12.5", 1250),
        ("12,50", 1250),
        ("1,234.50", 123450),
        ("0.01", 1),
        ("-1", -100),
    ],
)
def test_given_amount_when_read_then_cents(text: str, cents: int) -> None:
    value, _ = read_input(list(fields().values()), FILLED | {"f.amount_cents": text})
    assert value["amount_cents"] == cents


def test_given_faults_when_drawn_again_then_beside_their_fields_with_what_was_typed() -> None:
    again = filled(list(fields().values()), FILLED)
    marked, others = faulty(
        again,
        [{"pointer": "/input/count", "detail": "too many"}, {"pointer": "/input", "detail": "odd"}],
    )
    by_name = {field.name: field for field in marked}
    assert (by_name["count"].fault, by_name["count"].value, by_name["name"].fault) == (
        "Too many.",
        "3",
        "",
    )
    assert others == ["Odd."]
    assert (by_name["card"].value, by_name["card"].secret) == ("", True), (
        "what nobody may see is typed again"
    )


def test_given_a_limit_in_cents_when_told_beside_an_amount_then_as_an_amount() -> None:
    limits = [{"pointer": "/input/amount_cents", "detail": "must be at most 1000000"}]
    count = [{"pointer": "/input/count", "detail": "must be at most 1000"}]
    marked, _ = faulty(list(fields().values()), limits + count)
    told = {field.name: field.fault for field in marked if field.fault}
    assert told == {"amount_cents": "Must be at most 10,000.00.", "count": "Must be at most 1000."}


def test_given_fields_when_drawn_then_the_rarer_kind_is_marked_and_dates_have_their_own_kind() -> (
    None
):
    assert {name for name, field in fields().items() if field.marked} == {"gift", "place", "note"}
    assert {field.marked for field in fields().values()} == {"", "optional"}
    days = {
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
    }
    loose = fields_of(
        "any", {"properties": days | {"name": {"type": "string"}}, "required": ["name"]}
    )
    assert [field.marked for field in loose] == ["", "", "required"]
    assert (loose[0].kind, loose[1].kind, loose[1].help) == (
        "date",
        "text",
        "Date, time and zone, such as 2026-11-28T17:30:00Z.",
    )
    free = fields_of("any", {"properties": days})
    assert [field.marked for field in free] == ["", ""]


def test_given_a_secret_with_a_default_when_drawn_then_it_is_not_filled_in() -> None:
    schema = {
        "properties": {
            "pin": {"type": "string", "default": "hunter2", "examples": ["a"], "writeOnly": True}
        }
    }
    assert [field.value for field in fields_of("any", schema)] == [""]
