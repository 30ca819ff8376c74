"""JSON as the store keeps it: what fits, where it does not, and Python values made to fit.

Hazard: values come from strangers (a request) and from developers (a result). Python's JSON reader
accepts what databases, browsers and digests then choke on: NaN, integers beyond 64 bits, half
surrogate pairs, NUL, a hundred thousand brackets. Answer: `unfit` walks a value with a stack of its
own and names each such place, before anything recursive (a validator, a serializer) sees it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from surefoot.app.errors import Unreadable
from surefoot.app.saga.roundtrip import difference

MAX_DEPTH = 64  # levels of lists and objects inside each other
MAX_INTEGER = 2**63 - 1


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901) below `/input`."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in ("input", *parts)
    )


def unfit(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each place of a JSON value that cannot be kept: (path, what is wrong with it as "must …").

    Depth first, in order.
    """
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        path, here = stack.pop()
        if here is None or isinstance(here, bool):
            continue
        if isinstance(here, str):
            if not _fits_text(here):
                yield path, "must not contain NUL or half of a surrogate pair"
        elif isinstance(here, int):
            if not -MAX_INTEGER - 1 <= here <= MAX_INTEGER:
                yield path, "must fit into 64 bits"
        elif isinstance(here, float):
            if not math.isfinite(here):
                yield path, "must be a finite number"
        elif isinstance(here, (list, dict)):
            if len(path) >= MAX_DEPTH and here:
                yield path, f"must not be nested deeper than {MAX_DEPTH} levels"
                continue
            if isinstance(here, list):
                stack.extend(((*path, i), member) for i, member in reversed(list(enumerate(here))))
                continue
            if not all(isinstance(name, str) and _fits_text(name) for name in here):
                yield path, "must have names that are text without NUL or half of a surrogate pair"
            else:
                stack.extend(((*path, name), member) for name, member in reversed(here.items()))
        else:
            yield path, f"must be JSON, not {type(here).__name__}"


def _fits_text(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """The reader and writer of an annotated type, made once."""
    try:
        # `A | B` equals `B | A`, and reads another one of the two: the order belongs to the name
        return _made(annotation, "" if isinstance(annotation, type) else repr(annotation))
    except TypeError:  # Annotated with something unhashable
        return _make(annotation)


def _make(annotation: Any) -> TypeAdapter[Any]:
    try:
        # Left alone, pydantic writes NaN as null, and the loss would show when the result is read.
        return TypeAdapter(annotation, config=ConfigDict(ser_json_inf_nan="constants"))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # a model has a config of its own


@lru_cache(maxsize=1024)
def _made(annotation: Any, _order: str) -> TypeAdapter[Any]:
    return _make(annotation)


def to_json(value: Any, what: str = "the value", annotation: Any = Any) -> Any:
    """A value that fits `annotation`, as JSON that can be kept.

    Raises: TypeError in one sentence that begins with `what` ("the result of step charge_card"),
    also when the value would be read as another one.
    """
    by = adapter(annotation)
    try:
        made = by.dump_python(by.validate_python(value, strict=True), mode="json", by_alias=True)
    except ValidationError as error:
        wanted, given = type_name(annotation), type(value).__name__
        but = f", not {given}" if wanted != given else ""  # a NaN is a Decimal too
        raise TypeError(f"{what} must be {wanted}{but}: {first_fault(error)}") from error
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} cannot be kept as JSON: {error}") from error
    for path, problem in unfit(made):
        raise TypeError(
            f"{what} cannot be kept as JSON: {'/'.join(str(part) for part in path) or 'it'} {problem}"
        )
    try:
        back = by.validate_python(made)
    except ValidationError as error:
        raise TypeError(
            f"{what} could not be read again from its JSON: {first_fault(error)}"
        ) from error
    # without an annotation it is handed on as plain JSON; lint has warned
    if annotation is not Any and (told := difference(value, back)) is not None:
        raise TypeError(f"{what} would not come back as it was: {told}")
    return made


def comes_back(value: Any, annotation: Any) -> Any:
    """What a value looks like when it is read back from JSON by its type.

    Raises: whatever pydantic does.
    """
    by = adapter(annotation)
    return by.validate_python(
        by.dump_python(by.validate_python(value, strict=True), mode="json", by_alias=True)
    )


def unreadable(error: ValidationError, what: str, annotation: Any) -> Unreadable:
    """That stored data cannot be read as this type: which type and field, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = "/".join(str(part) for part in first["loc"])
    model = type_name(annotation)
    at = f", field {field}" if field else ""
    return Unreadable(
        f"{what} cannot be read by this code as {model}{at}: {first['msg']}",
        model=model,
        field=field,
    )


def first_fault(error: ValidationError) -> str:
    """The first thing a pydantic model objects to and its place, without the value: it may be a
    secret.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    at = "/".join(str(part) for part in first["loc"])
    return f"{at}: {first['msg']}" if at else str(first["msg"])


def type_name(annotation: Any) -> str:
    """A type as a developer writes it."""
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(type_name(choice) for choice in get_args(annotation))
    if annotation is NoneType:
        return "None"
    return (
        annotation.__name__
        if isinstance(annotation, type) and not get_args(annotation)
        else str(annotation).replace("typing.", "")
    )
