"""Walking a JSON Schema: what pydantic writes of it, and no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Schema = dict[str, Any]

_MAPS = (
    "properties",
    "patternProperties",
    "$defs",
    "dependentSchemas",
)  # keyword -> {name: schema}
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
LIMIT = "x-refused-above"
FIRST_NAMES = {LIMIT: "x-approval-above"}  # as stored definitions and digests have them
_WORDS = ("title", "description", "examples", "$comment", "x-says")


def transform(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """A copy of a schema with `change` applied to it and every schema inside it; names of
    properties are left alone.
    """
    if not isinstance(schema, dict):
        return schema  # true and false are schemas too
    made = dict(schema)
    for key in _MAPS:
        if isinstance(made.get(key), dict):
            made[key] = {name: transform(inner, change) for name, inner in made[key].items()}
    for key in _LISTS:
        if isinstance(made.get(key), list):
            made[key] = [transform(inner, change) for inner in made[key]]
    for key in _SINGLE:
        if key in made:
            made[key] = transform(made[key], change)
    return change(made)


def closed(schema: Schema) -> Schema:
    """The same schema, where no object with named fields takes others."""
    made: Schema = transform(
        schema, lambda s: {**s, "additionalProperties": False} if "properties" in s else s
    )
    return made


def without_words(schema: Schema) -> Schema:
    """What a digest covers of a schema: no texts for people, so a corrected docstring makes no
    other definition.

    Renamed keywords keep their first names here.
    """
    made: Schema = transform(
        schema,
        lambda s: {FIRST_NAMES.get(key, key): s[key] for key in s if key not in _WORDS},
    )
    return made


def applying(root: Schema, schemas: Iterable[Any]) -> list[Schema]:
    """These schemas and every one they refer to or choose from for the same value.

    Branches are not judged: all count.
    """
    found: list[Schema] = []
    stack = list(schemas)
    while stack:
        schema = stack.pop()
        if not isinstance(schema, dict) or any(schema is known for known in found):
            continue
        found.append(schema)
        if str(schema.get("$ref", "")).startswith("#/$defs/"):
            stack.append(root.get("$defs", {}).get(schema["$ref"].removeprefix("#/$defs/")))
        for key in ("allOf", "anyOf", "oneOf"):
            stack.extend(schema.get(key, ()))
    return found


def below(schemas: Iterable[Schema], part: str | int) -> Iterator[Any]:
    """The schemas of one member: of the field `part` of an object, or of the item number `part` of
    a list.
    """
    for schema in schemas:
        if isinstance(part, int):
            first = schema.get("prefixItems", ())
            yield first[part] if part < len(first) else schema.get("items")
            continue
        named = [schema["properties"][part]] if part in schema.get("properties", {}) else []
        named += [
            inner
            for pattern, inner in schema.get("patternProperties", {}).items()
            if re.search(pattern, part)
        ]
        yield from named or [schema.get("additionalProperties")]


def marked(
    schema: Schema, value: Any, keyword: str
) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """Each place of `value` whose schema carries `keyword`: (path, the keyword's value, the place's
    value). In order.
    """
    stack: list[tuple[tuple[str | int, ...], Any, list[Any]]] = [((), value, [schema])]
    while stack:
        path, here, schemas = stack.pop()
        found = applying(schema, schemas)
        marks = [
            s[keyword] for s in found if s.get(keyword) is not None and s[keyword] is not False
        ]
        if marks:
            yield path, marks[0], here
            continue
        members: list[tuple[str | int, Any]] = []
        if isinstance(here, (dict, list)):
            members = list(here.items()) if isinstance(here, dict) else list(enumerate(here))
        stack.extend(
            ((*path, part), inner, list(below(found, part))) for part, inner in reversed(members)
        )
