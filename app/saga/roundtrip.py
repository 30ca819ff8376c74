"""Does a value come back as what it was? Asked of each value, and of a type before there is a
value.

Hazard: JSON has fewer types than Python. A Decimal where a float would do as well, a model of a
union that looks like another one, a secret, a field that is left out: each is written without an
error and read as something else, and the next step works with that.
Answer: what is read back is held against what was returned (`difference`), and a type whose values
cannot all come back is refused before its first value (`unkeepable`).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, is_typeddict
from uuid import UUID

from pydantic import BaseModel, EncodedBytes, SecretBytes, SecretStr

Place = tuple[str | int, ...]
Reads = Callable[
    [Any, Any], Any
]  # (value, annotation) -> the value as it is read back; it may raise
_SAMPLES: dict[type, tuple[Any, ...]] = {
    str: ("text", "2"),
    bool: (True,),
    int: (2,),
    float: (0.5, 2.0),
    Decimal: (Decimal("0.1"), Decimal(2)),
    datetime: (datetime(2026, 1, 1), datetime(2026, 1, 1, 2, 30)),  # noqa: DTZ001 - one without a zone
    date: (date(2026, 1, 1),),
    time: (time(2, 30),),
    timedelta: (timedelta(seconds=90),),
    UUID: (UUID(int=7),),
    Path: (Path("a/b"),),
    ipaddress.IPv4Address: (ipaddress.IPv4Address("192.0.2.1"),),
    ipaddress.IPv6Address: (ipaddress.IPv6Address("2001:db8::1"),),
    type(None): (None,),
}


# --- a value --------------------------------------------------------------------------------------
def difference(value: Any, back: Any, at: Place = ()) -> str | None:
    """Where and how what is read back differs from what was written, in words without either value;
    None when it is the same.

    A subclass of a plain type counts as that type. `back` was read by the type that `value` was
    written by.
    """
    kind, found = type(value), type(back)
    if kind is not found and not _counts_as(value, back):
        return f"{_place(at)} is {_a(kind)} and would be read as {_a(found)}"
    if isinstance(back, datetime):
        same = (
            value.replace(tzinfo=None) == back.replace(tzinfo=None)
            and value.utcoffset() == back.utcoffset()
        )
        return None if same else f"{_place(at)} would be read as another time"
    for part, mine, its in _members(value, back):
        kind = type(mine)
        if mine is its or (kind in _LEAVES and kind is type(its) and mine == its):
            continue
        if (told := difference(mine, its, (*at, part))) is not None:
            return told
    return None if _same(value, back) else f"{_place(at)} would be read with another value"


_LEAVES = frozenset((str, int, float, bool, type(None), bytes, Decimal, date))
_PLAIN = frozenset((str, int, float, bytes, list, dict, tuple, set, frozenset))


def _counts_as(value: Any, back: Any) -> bool:
    """A subclass of a plain type is that type; an int where a float is declared is the same number."""
    kind, found = type(value), type(back)
    if found in _PLAIN and issubclass(kind, found) and kind is not bool:
        return True
    return (kind is int and found is float) or (
        isinstance(value, PurePath) and isinstance(back, PurePath)
    )


def _members(value: Any, back: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """What a container holds, side by side: (its place, written, read)."""
    if isinstance(back, BaseModel):
        for name in type(back).model_fields:
            yield name, getattr(value, name, None), getattr(back, name, None)
        for name, one in (value.__pydantic_extra__ or {}).items():
            yield name, one, (back.__pydantic_extra__ or {}).get(name)
        for name, one in (value.__pydantic_private__ or {}).items():
            yield name, one, (back.__pydantic_private__ or {}).get(name)
    elif isinstance(back, dict):
        for (key, one), (other, its) in zip(value.items(), back.items(), strict=False):
            yield str(key), key, other
            yield str(key), one, its
    elif isinstance(back, (list, tuple)):
        for n, (one, its) in enumerate(zip(value, back, strict=False)):
            yield n, one, its
    elif isinstance(back, (set, frozenset)):
        its = {one: one for one in back}
        for one in value:
            yield "item", one, its.get(one)
    elif dataclasses.is_dataclass(back):
        for field in dataclasses.fields(back):
            yield field.name, getattr(value, field.name, None), getattr(back, field.name, None)


def _named(kind: type) -> set[str]:
    """What a class and its bases define, but for `object`."""
    return {name for base in kind.__mro__[:-1] for name in base.__dict__}


def _same(value: Any, back: Any) -> bool:
    if isinstance(back, (list, tuple, dict, set, frozenset)):
        return len(value) == len(back)
    if isinstance(back, BaseModel):
        return len(value.__pydantic_extra__ or ()) == len(back.__pydantic_extra__ or ())
    if dataclasses.is_dataclass(back) or "__eq__" not in _named(type(back)):
        return True  # its fields were looked at; or it knows no equal
    try:
        return bool(value == back)
    except Exception:  # a developer's own comparison
        return True


# --- a type ---------------------------------------------------------------------------------------
def unkeepable(annotation: Any, comes_back: Reads) -> str | None:
    """Why values of a type cannot come back from JSON, with a remedy; None when nothing is known
    against it.
    """
    for at, one in _parts(annotation):
        told = _fault(one, comes_back)
        if told is not None:
            return f"has the part {_place(at)}, which {told}" if at else told
    return None


def _fault(annotation: Any, comes_back: Reads) -> str | None:
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, (SecretStr, SecretBytes)):
        return f"is a {kind.__name__}, which is kept as asterisks: return a reference to the secret instead"
    if kind in (bytes, bytearray):
        return "is bytes, and JSON has none: return a file's name, or base64 as text"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _fault_of_model(kind)
    if kind is dict and get_args(annotation):
        return _fault_of_keys(get_args(annotation)[0], comes_back)
    return _fault_of_union(annotation, comes_back) if is_union(annotation) else None


def _fault_of_keys(key: Any, comes_back: Reads) -> str | None:
    for sample in _samples(key):
        try:
            back = comes_back({sample: None}, dict[key, None])
        except Exception:  # a validator's, or a serializer's
            back = {}
        if not back or difference(sample, next(iter(back))) is not None:
            return f"has keys that can be {_a(type(sample))}, which cannot be read again: use keys that are text"
    return None


def _fault_of_union(annotation: Any, comes_back: Reads) -> str | None:
    for sample in _samples(annotation):
        try:
            told = difference(sample, comes_back(sample, annotation))
        except Exception:  # a sample that the type does not take says nothing about it
            continue
        if told is not None:
            return f"can be {told.removeprefix('it is ')}: say one of the two, or a model with a field for each"
    return None


def _fault_of_model(model: type[BaseModel]) -> str | None:
    for name, field in model.model_fields.items():
        if field.exclude:
            return f"has the field {name} with exclude=True, which would come back as its default: return a model without it"
    computed = next(iter(model.model_computed_fields), None)
    if computed and model.model_config.get("extra") in ("forbid", "allow"):
        said = f"extra={model.model_config['extra']!r}"
        return f"has the computed field {computed}, which is kept and meets {said} when it is read: make it a plain property"
    return None


def _samples(annotation: Any) -> Iterator[Any]:
    """A few values of a plain type, a union or a tuple of plain ones."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if is_union(annotation):
        for choice in get_args(annotation):
            yield from _samples(choice)
    elif get_origin(annotation) is tuple:
        firsts = [next(_samples(one), None) for one in get_args(annotation) if one is not Ellipsis]
        yield tuple(firsts)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from list(annotation)[:1]
    elif annotation is None:
        yield None
    elif isinstance(annotation, type):
        yield from _SAMPLES.get(annotation, ())


def _parts(annotation: Any) -> Iterator[tuple[Place, Any]]:
    """A type and every type inside it, each once: (its place, itself)."""
    seen: list[Any] = []
    stack: list[tuple[Place, Any]] = [((), annotation)]
    while stack:
        at, here = stack.pop()
        if any(here is known or here == known for known in seen):
            continue
        seen.append(here)
        if get_origin(here) is Annotated:
            inner, *marks = get_args(here)
            if not any(isinstance(mark, EncodedBytes) for mark in marks):
                stack.append((at, inner))
            continue
        yield at, here
        stack.extend(
            (at, inner)
            for inner in reversed(get_args(here))
            if inner is not Ellipsis and _is_type(inner)
        )
        kind = get_origin(here) or here
        if isinstance(kind, type):
            stack.extend(((*at, name), inner) for name, inner in reversed(list(_fields_of(kind))))


def _fields_of(kind: type) -> Iterator[tuple[str, Any]]:
    if issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            marks = tuple(field.metadata)
            yield name, Annotated[(field.annotation, *marks)] if marks else field.annotation
    elif dataclasses.is_dataclass(kind):
        yield from ((field.name, field.type) for field in dataclasses.fields(kind))
    elif is_typeddict(kind) or hasattr(kind, "_fields"):
        yield from kind.__annotations__.items()


def _is_type(inner: Any) -> bool:
    return isinstance(inner, type) or get_origin(inner) is not None or inner is None


def is_union(annotation: Any) -> bool:
    """Whether this is a choice of types."""
    return get_origin(annotation) in (Union, UnionType)


# --- words ----------------------------------------------------------------------------------------
def _place(at: Place) -> str:
    return "/".join(str(part) for part in at) or "it"


def _a(kind: type) -> str:
    name = "None" if kind is type(None) else kind.__name__
    return name if name == "None" else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
