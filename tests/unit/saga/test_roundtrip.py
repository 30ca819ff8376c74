"""A result comes back as what it was, or is refused: at run time by comparing, at import by its type."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    computed_field,
)

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.roundtrip import unkeepable
from surefoot.app.saga.values import adapter, comes_back, to_json


class A(BaseModel):
    x: int


class B(BaseModel):
    x: int
    y: int = 0


class More(A):
    z: int = 1


class Hides(BaseModel):
    a: int
    b: int = Field(3, exclude=True)


class Private(BaseModel):
    a: int
    _seen: int = PrivateAttr(5)


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int

    @computed_field
    def twice(self) -> int:
        return 2 * self.a


class Amount(BaseModel):
    value: float | Decimal


class Token(BaseModel):
    token: SecretStr


class Blob(BaseModel):
    data: Base64Bytes


@dataclass
class Point:
    x: Decimal


@dataclass
class Point3(Point):
    z: int = 0


class Pair(NamedTuple):
    n: int
    at: datetime


class Word(StrEnum):
    YES = "yes"


class Number(Enum):
    ONE = 1


def private(seen: int) -> Private:
    made = Private(a=1)
    made._seen = seen
    return made


MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
HALF_PAST_TWO = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1)
SAME: list[tuple[Any, Any]] = [
    (A(x=1), A | None),
    (A(x=1), A | B),
    ([B(x=1, y=2)], list[B]),
    (Hides(a=1), Hides),
    (private(5), Private),
    (Point(Decimal("1.10")), Point),
    (Pair(1, HALF_PAST_TWO), Pair),
    ((1, "b"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({date(2026, 1, 1)}), frozenset[date]),
    ({1: (2, 3)}, dict[int, tuple[int, int]]),
    (defaultdict(int, a=1), dict[str, int]),
    (1, float),
    (True, bool | int),
    (1, bool | int),
    (Word.YES, Word),
    (Word.YES, str),
    (Number.ONE, Number),
    (Decimal("1E+2"), Decimal | None),
    (timedelta(microseconds=1), timedelta),
    (datetime.now(UTC), datetime),
    (UUID(int=3), UUID),
    (Path("a/b"), Path),
    (Blob(data=b"/wA="), Blob),
    (Decimal(1), Any),
    ((1, 2), Any),
]
CHANGED: list[tuple[Any, Any, str]] = [
    (SecretStr("tok-1"), SecretStr, "it would be read with another value"),
    (A(x=1), B | A, "it is an A and would be read as a B"),
    ({"k": [A(x=1)]}, dict[str, list[B | A]], "k/0 is an A and would be read as a B"),
    (More(x=1), A, "it is a More and would be read as an A"),
    (Point3(Decimal(1)), Point, "it is a Point3 and would be read as a Point"),
    (Decimal("0.1"), float | Decimal, "it is a Decimal and would be read as a float"),
    (Amount(value=Decimal("0.5")), Amount, "value is a Decimal and would be read as a float"),
    (MIDNIGHT, date | datetime, "it is a datetime and would be read as a date"),
    (MIDNIGHT, str | datetime, "it is a datetime and would be read as a str"),
    (Hides(a=1, b=9), Hides, "b would be read with another value"),
    (private(6), Private, "_seen would be read with another value"),
    ({1: 2}, dict, "1 is an int and would be read as a str"),
    ({"a": (1, 2)}, dict[str, Any], "a is a tuple and would be read as a list"),
]


@pytest.mark.parametrize(("value", "annotation"), SAME, ids=range(len(SAME)))
def test_given_a_value_that_comes_back_as_it_was_when_kept_then_it_is_taken(
    value: Any, annotation: Any
) -> None:
    kept = to_json(value, "it", annotation)
    if annotation is not Any:
        back = adapter(annotation).validate_python(kept)
        assert back == value or isinstance(
            value, Pair
        )  # two zones never agree about an hour that comes twice


@pytest.mark.parametrize(("value", "annotation", "told"), CHANGED, ids=range(len(CHANGED)))
def test_given_a_value_that_would_be_read_as_another_when_kept_then_refused(
    value: Any, annotation: Any, told: str
) -> None:
    with pytest.raises(TypeError) as refused:
        to_json(value, "the result of step x", annotation)
    assert str(refused.value) == f"the result of step x would not come back as it was: {told}"
    assert "tok-1" not in str(refused.value)


LOSSY: list[tuple[Any, str]] = [
    (SecretStr, "kept as asterisks"),
    (list[Token], "has the part token, which is a SecretStr"),
    (bytes, "base64 as text"),
    (dict[str, list[bytes]], "is bytes"),
    (float | Decimal, "can be a Decimal and would be read as a float: say one of the two"),
    (int | Decimal, "can be a Decimal and would be read as an int"),
    (Amount, "has the part value, which can be a Decimal"),
    (datetime | date, "can be a date and would be read as a datetime"),
    (str | datetime | None, "can be a datetime and would be read as a str"),
    (str | UUID, "can be an UUID and would be read as a str"),
    (dict[tuple[int, int], int], "has keys that can be a tuple"),
    (dict[int | None, int], "has keys that can be None"),
    (Hides, "has the field b with exclude=True"),
    (Computed, "computed field twice, which is kept and meets extra='forbid'"),
]
KEEPABLE = [annotation for _, annotation in SAME if annotation is not Hides]
KEEPABLE += [
    int | str,
    str | int | None,
    float | int,
    Literal["a", "b"] | None,
    list[float | None],
    dict[date, int],
    None,
]


@pytest.mark.parametrize(("annotation", "why"), LOSSY, ids=range(len(LOSSY)))
def test_given_a_type_whose_values_cannot_all_come_back_when_judged_then_told_with_a_remedy(
    annotation: Any, why: str
) -> None:
    told = unkeepable(annotation, comes_back)
    assert told is not None
    assert why in told
    assert ": " in told, "a remedy"


@pytest.mark.parametrize("annotation", KEEPABLE, ids=range(len(KEEPABLE)))
def test_given_a_type_that_comes_back_when_judged_then_nothing_is_said(annotation: Any) -> None:
    assert unkeepable(annotation, comes_back) is None


def test_given_a_step_that_returns_a_secret_when_the_saga_is_closed_then_refused_by_line() -> None:
    saga = Saga("token", version=1, input=A)

    @saga.step(lane="a", no_effect=True)
    def fetch(ctx, o) -> Token:
        return Token(token=SecretStr("x"))

    with pytest.raises(
        DefinitionError,
        match=r"py:\d+: step fetch returns .* Token has the part token, which is a SecretStr",
    ):
        saga.graph


def test_given_typed_dict_of_an_old_python_when_judged_then_where_to_take_it_from() -> None:
    from typing import TypedDict

    class Old(TypedDict):
        a: int

    saga = Saga("old", version=1, input=A)

    @saga.step(lane="a", no_effect=True)
    def fetch(ctx, o) -> Old:
        return {"a": 1}

    with pytest.raises(DefinitionError, match="Take TypedDict from typing_extensions"):
        saga.graph
