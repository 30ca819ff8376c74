"""A value against a schema or a model -> faults: where, and what it must be instead.

The schema speaks first, so that a web server with the saga's code and one without it give the same
answer to the same mistake; the model adds only what code alone can know. No fault ever shows the
value: it may be a secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.validators import extend
from pydantic import AnyUrl, ValidationError

from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.values import adapter, pointer, unfit

Fault = dict[str, str]  # "pointer", "detail", and the "pattern" of what must match one
Path = tuple[str | int, ...]
Told = tuple[Path, str] | tuple[Path, str, str]  # where, what it must be, and the pattern
SAYS = "x-says"  # of a schema: how its author says what the value must be
MAX_FAULTS = 100  # shown for one request

_KINDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}
_FORMATS = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "uri": AnyUrl,
}
_SENTENCES = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} character{s}",
    "maxLength": "must have at most {} character{s}",
    "pattern": "does not have the expected form",
    "format": "must be a valid {}",
    "minItems": "must have at least {} item{s}",
    "maxItems": "must have at most {} item{s}",
    "minProperties": "must have at least {} field{s}",
    "maxProperties": "must have at most {} field{s}",
    "uniqueItems": "must not have the same item twice",
}
_EMPTY = {"minLength": "must not be empty", "minItems": "must not be empty"}  # at least 1
_OF_FORMAT = {
    "date-time": "must be a date and time, such as 2026-11-28T17:30:00Z",
    "date": "must be a date, such as 2026-11-28",
    "time": "must be a time of day, such as 17:30:00",
    "duration": "must be a duration, such as PT1H30M",
    "uuid": "must be a UUID, such as 3f2b8c1e-7a64-4f0e-9a51-0c6d2e8b7f13",
    "ipv4": "must be an IPv4 address, such as 192.0.2.7",
    "ipv6": "must be an IPv6 address, such as 2001:db8::7",
    "uri": "must be an address, such as https://example.com/",
}


def _checker() -> Any:
    """Draft 2020-12, where 3.0 is not an integer, and a format means what pydantic's strict reading
    of it means.
    """
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, v: isinstance(v, int) and not isinstance(v, bool)
    )
    return extend(Draft202012Validator, type_checker=types)


def _formats() -> Any:
    def check(kind: Any) -> Any:
        def holds(value: object) -> bool:
            return not isinstance(value, str) or bool(
                adapter(kind).validate_json(json.dumps(value), strict=True) is not None
            )

        return holds

    formats = FormatChecker(formats=())
    for name, kind in _FORMATS.items():
        formats.checks(name, raises=ValidationError)(check(kind))
    return formats


_VALIDATOR, _FORMAT_CHECKER = _checker(), _formats()


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    return _VALIDATOR(json.loads(schema), format_checker=_FORMAT_CHECKER)


def storage_faults(value: Any) -> list[Fault]:
    """What cannot be kept as JSON, whatever the schema says.

    Asked first: validators recurse, this does not.
    """
    return _listed(unfit(value))


def schema_faults(schema: dict[str, Any], value: Any) -> list[Fault]:
    """What does not fit the JSON Schema. `value` has no storage faults."""
    errors = _validator(json.dumps(schema)).iter_errors(value)
    return _listed(fault for error in errors for fault in _read(error))


def model_faults(error: ValidationError, value: Any) -> list[Fault]:
    """What a pydantic model objects to.

    Tags of unions in pydantic's locations are not part of a pointer.
    """
    return _listed(
        (_path(e["loc"], value), _sentence(e["msg"]))
        for e in error.errors(include_url=False, include_input=False)
    )


def _listed(found: Iterable[Told]) -> list[Fault]:
    """At most MAX_FAULTS, the first of each place."""
    faults: dict[str, Fault] = {}
    for path, detail, *pattern in found:
        at = pointer(*path)
        more = {"pattern": pattern[0]} if pattern else {}
        faults.setdefault(at, {"pointer": at, "detail": detail, **more})
        if len(faults) >= MAX_FAULTS:
            break
    return list(faults.values())


def _read(error: Any, base: Path = ()) -> Iterator[Told]:
    path, word, limit = base + tuple(error.relative_path), error.validator, error.validator_value
    if word == "required":
        yield from (((*path, name), "is missing") for name in limit if name not in error.instance)
    elif word == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for name in error.instance:
            if name not in known:
                yield (*path, name), f"is not a field of this input.{did_you_mean(name, known)}"
    elif word in ("anyOf", "oneOf"):
        yield from _read_choice(error, path)
    elif word == "type":
        yield path, _wrong_kind([limit] if isinstance(limit, str) else limit, error.instance)
    elif word in ("enum", "const"):
        yield path, _one_of(limit if word == "enum" else [limit])
    elif word == "pattern":
        yield path, _sentence_of(error), str(limit)
    else:
        yield path, _sentence_of(error)


def _sentence_of(error: Any) -> str:
    """What the value must be: in the words of its author, of its format, or of the rule."""
    word, limit = error.validator, error.validator_value
    if word in ("pattern", "format", "not") and isinstance(error.schema.get(SAYS), str):
        return str(error.schema[SAYS])
    if word == "format" and limit in _OF_FORMAT:
        return _OF_FORMAT[limit]
    if limit == 1 and word in _EMPTY:
        return _EMPTY[word]
    sentence = _SENTENCES.get(word, "does not fit the schema")
    return sentence.format(limit, s="" if limit == 1 else "s")


def _read_choice(error: Any, path: Path) -> Iterator[Told]:
    """Of the branches of a choice, the one that was meant: the only one of the right kind, or of
    the right tag.
    """
    branches: dict[Any, list[Any]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    if not branches:  # oneOf: more than one fits
        yield path, "fits more than one of the allowed forms"
        return
    tag = error.schema.get("discriminator", {}).get("propertyName")
    if tag is not None and isinstance(error.instance, dict):
        if tag not in error.instance:
            yield (*path, tag), "is missing"
            return
        meant = [b for b in branches.values() if not any(list(e.relative_path) == [tag] for e in b)]
        if not meant:
            yield (*path, tag), _one_of(list(error.schema["discriminator"].get("mapping", {})))
            return
    else:
        meant = [
            b
            for b in branches.values()
            if not any(e.validator == "type" and not e.relative_path for e in b)
        ]
    if len(meant) == 1:
        yield from (fault for inner in meant[0] for fault in _read(inner, path))
    elif not meant:
        kinds = [
            e.validator_value
            for b in branches.values()
            for e in b
            if e.validator == "type" and not e.relative_path
        ]
        yield (
            path,
            _wrong_kind(
                [kind for k in kinds for kind in ([k] if isinstance(k, str) else k)], error.instance
            ),
        )
    elif all(e.validator in ("enum", "const") and not e.relative_path for b in meant for e in b):
        allowed = [
            v
            for b in meant
            for e in b
            for v in (e.validator_value if e.validator == "enum" else [e.validator_value])
        ]
        yield path, _one_of(allowed)
    else:
        yield path, "fits none of the allowed forms"


def _wrong_kind(kinds: Sequence[str], value: Any) -> str:
    names = list(dict.fromkeys(_KINDS[kind] for kind in kinds))
    if isinstance(value, float) and value.is_integer() and "number" not in kinds:
        return f"must be {' or '.join(names)}, written without a decimal point"
    return f"must be {' or '.join(names)}, not {_KINDS[_kind(value)]}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        list: "array",
        dict: "object",
    }
    return kinds[type(value)]


def _one_of(allowed: Sequence[Any]) -> str:
    return ("must be " if len(allowed) == 1 else "must be one of ") + ", ".join(
        json.dumps(a) for a in allowed
    )


def _path(loc: Sequence[str | int], value: Any) -> Path:
    path: list[str | int] = []
    for part in loc:
        if (
            part in value
            if isinstance(value, dict)
            else isinstance(value, list) and isinstance(part, int) and part < len(value)
        ):
            path.append(part)
            value = value[part]
    return tuple(path)


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message.replace("Input should be", "must be")
