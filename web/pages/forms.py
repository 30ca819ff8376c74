"""A form from a saga's JSON Schema, and the input from what was filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from surefoot.app.saga.schemas import applying
from surefoot.web.api.problems import Problem, sentence
from surefoot.web.body import parse
from surefoot.web.pages.hints import hint

CENTS = "_cents"
AMOUNT = re.compile(r"^(must be (?:at least|at most|more than|less than)) (-?\d+)$")
PREFIX = "f."  # of the names of the saga's own fields in the form


FORM_OF = {
    "date-time": "Date, time and zone, such as 2026-11-28T17:30:00Z.",
    "time": "Such as 17:30:00.",
    "duration": "Such as PT1H30M.",
}


@dataclass(frozen=True)
class Field:
    """One field. `kind`: text, whole, number, money, date, yes_no, choice or json.

    `choices`: (JSON of the value, its words), nothing else can be chosen; `suggestions`: (value,
    what it does), anything can be typed;
    `secret`: typed unseen, and never filled again;
    `marked`: `optional` or `required`, where the fewer fields are that.
    """

    name: str
    label: str
    kind: str
    required: bool
    help: str = ""
    value: str = ""
    fault: str = ""
    secret: bool = False
    marked: str = ""
    longest: int | None = None
    choices: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[tuple[str, str], ...] = ()


def fields_of(saga: str, schema: Mapping[str, Any]) -> list[Field]:
    """The fields of an input schema, in its order, each with its example in it."""
    required = schema.get("required", [])
    found = [
        _field(saga, name, one, name in required, schema)
        for name, one in schema.get("properties", {}).items()
    ]
    few = sum(field.required for field in found) < len(found) / 2  # the rarer kind is marked
    word = "required" if few else "optional"
    return [replace(field, marked=word if field.required == few else "") for field in found]


def filled(fields: list[Field], values: Mapping[str, str]) -> list[Field]:
    """The same fields with what was typed into them, but for secrets: those leave this server for
    the store alone.
    """
    return [
        replace(field, value="" if field.secret else values.get(PREFIX + field.name, ""))
        for field in fields
    ]


def faulty(fields: list[Field], faults: list[dict[str, str]]) -> tuple[list[Field], list[str]]:
    """The same fields with their faults beside them, and the faults that belong to no field."""
    of_field: dict[str, list[str]] = {}
    for fault in faults:
        parts = fault.get("pointer", "").split("/")
        name = parts[2] if len(parts) > 2 and parts[1] == "input" else ""
        of_field.setdefault(name, []).append(fault.get("detail", ""))
    known = {field.name for field in fields}
    marked = [
        replace(
            field,
            fault=sentence("; ".join(_in_its_unit(field, text) for text in of_field[field.name])),
        )
        if field.name in of_field
        else field
        for field in fields
    ]
    return marked, [
        sentence(text) for name, texts in of_field.items() if name not in known for text in texts
    ]


def _in_its_unit(field: Field, text: str) -> str:
    """A limit in cents, where the field takes an amount."""
    if field.kind != "money":
        return text
    return AMOUNT.sub(lambda found: f"{found[1]} {int(found[2]) / 100:,.2f}", text)


def read_input(
    fields: list[Field], values: Mapping[str, str]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What was filled in as the saga's input, and the faults of what could not even be read.

    An empty optional field is left out.
    """
    found: dict[str, Any] = {}
    faults = []
    for field in fields:
        text = values.get(PREFIX + field.name, "").strip()
        if not text and not field.required and field.kind != "yes_no":
            continue
        try:
            found[field.name] = _read(field, text)
        except ValueError as error:
            faults.append({"pointer": f"/input/{field.name}", "detail": str(error)})
    return found, faults


def _read(field: Field, text: str) -> Any:
    """Raises: ValueError with what was wanted."""
    if field.kind == "yes_no":
        return bool(text)
    if not text:
        raise ValueError("please fill this in")
    if field.kind == "money":
        return _cents(text)
    if field.kind == "whole":
        if (
            len(text) > 18
            or not text.removeprefix("-").isascii()
            or not text.removeprefix("-").isdigit()
        ):
            raise ValueError("must be a whole number")
        return int(text)
    if field.kind in ("number", "json"):
        try:
            return parse(text.encode("utf-8", "replace"))
        except Problem as error:
            raise ValueError(
                "must be a number" if field.kind == "number" else error.detail
            ) from error
    if field.kind == "choice":
        return json.loads(text) if text in [value for value, _ in field.choices] else text
    return text


def _cents(text: str) -> int:
    try:
        amount = Decimal(
            text.replace(",", ".")
            if text.count(",") == 1 and "." not in text
            else text.replace(",", "")
        )
    except InvalidOperation:
        raise ValueError("must be an amount such as 12.50") from None
    if not amount.is_finite() or abs(amount) > 10**12 or amount != amount.quantize(Decimal("0.01")):
        raise ValueError("must be an amount such as 12.50")
    return int(amount * 100)


def _field(
    saga: str, name: str, one: Mapping[str, Any], required: bool, schema: Mapping[str, Any]
) -> Field:
    one = _resolved(one, schema)
    ours = hint(saga, name)
    kind, choices = _kind(name, one)
    secret = any(found.get("writeOnly") for found in applying(dict(schema), [dict(one)]))
    example = None if secret else one.get("default", next(iter(one.get("examples", [])), None))
    label = ours.label or one.get("title") or name
    if not ours.label and label.replace(" ", "_").lower() == name:
        label = name.removesuffix(CENTS).replace("_", " ").capitalize()
    return Field(
        name=name,
        label=label,
        kind=kind,
        required=required,
        help=one.get("description") or ours.help or FORM_OF.get(one.get("format", ""), ""),
        value=_shown(kind, example, ours.example),
        secret=secret,
        longest=one.get("maxLength"),
        choices=choices,
        suggestions=ours.suggestions,
    )


def _shown(kind: str, example: Any, ours: str) -> str:
    """What stands in the field when it is drawn."""
    if example is None or (kind == "yes_no" and not example):
        return ours
    if kind == "money":
        return f"{example / 100:.2f}"
    return example if isinstance(example, str) and kind in ("text", "date") else json.dumps(example)


def _kind(name: str, one: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    if "enum" in one:
        return "choice", tuple((json.dumps(value), str(value)) for value in one["enum"])
    match one.get("type"):
        case "integer":
            return ("money" if name.endswith(CENTS) else "whole"), ()
        case "number":
            return "number", ()
        case "boolean":
            return "yes_no", ()
        case "string":
            return ("date" if one.get("format") == "date" else "text"), ()
    return "json", ()


def _resolved(one: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A property without its reference, and without the null that says that it may be left out."""
    found = dict(one)
    for _ in range(8):
        ref = found.pop("$ref", None)
        if isinstance(ref, str):
            found = {**schema.get("$defs", {}).get(ref.removeprefix("#/$defs/"), {}), **found}
        options = [option for option in found.get("anyOf", []) if option.get("type") != "null"]
        if len(options) == 1:
            found.pop("anyOf")
            found = {
                **options[0],
                **{k: v for k, v in found.items() if k != "default" or v is not None},
            }
        elif ref is None:
            break
    return found
