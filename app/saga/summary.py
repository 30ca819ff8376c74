"""A job in one line, from its input: `"{quantity} × {sku} for {customer}, {amount_cents:cents}"`.

A template is data: the catalogue keeps it, and it is filled where a job is accepted, by the input's
schema alone. It names fields of the input that have one plain value; a secret one is refused, and a
secret that stands in another field is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from surefoot.app.saga.inputs import SECRET, secret_values
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.schemas import applying, below
from surefoot.app.secrecy import scrub

CENTS = "cents"  # the one form there is: 1250 as 12.50
MOST_CHARACTERS = 200
MOST_OF_A_VALUE = 60
_UNSEEN = re.compile(
    r"[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+"
)


def mistakes(template: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a template for inputs of this schema, half a sentence each."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        yield f"cannot be read: {error}. Say fields in braces, as {{quantity}}"
        return
    properties = schema.get("properties", {})
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in properties:
            yield f"names {name!r}, which is not a field of the input.{did_you_mean(name, properties)}"
            continue
        kinds = applying(dict(schema), below([dict(schema)], name))
        if any(kind.get(SECRET) for kind in kinds):
            yield f"names {name!r}, which is a secret. Leave it out"
        elif any(kind.get("type") in ("object", "array") for kind in kinds):
            yield f"names {name!r}, which has more than one value. Name fields that are text, numbers or yes and no"
        elif conversion or form not in ("", CENTS):
            said = f"{name}{'!' + conversion if conversion else ''}{':' + form if form else ''}"
            yield f"says {{{said}}}. Say {{{name}}}, or {{{name}:cents}}"
        elif form == CENTS and not any(kind.get("type") == "integer" for kind in kinds):
            yield f"says {{{name}:cents}}, and {name} is not a whole number"


def summary_of(template: str, schema: Mapping[str, Any], value: Mapping[str, Any]) -> str | None:
    """The template filled with an input that fits the schema; None when there is no template.

    One line, without secrets.
    """
    if not template:
        return None
    said = []
    for literal, name, form, _ in Formatter().parse(template):
        said.append(literal)
        if name is not None:
            default = schema.get("properties", {}).get(name, {}).get("default")
            said.append(_plain(value.get(name, default), form or ""))
    text = _UNSEEN.sub(" ", scrub("".join(said), secret_values(dict(schema), value)))
    return _cut(text.strip(), MOST_CHARACTERS)


def _plain(value: Any, form: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if form == CENTS and isinstance(value, int):
        return f"{'-' if value < 0 else ''}{abs(value) // 100:,}.{abs(value) % 100:02d}"
    return _cut(str(value), MOST_OF_A_VALUE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
