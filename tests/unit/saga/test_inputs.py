"""What a job may be asked with: the same answer from a server with the saga's code and from one without it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from surefoot.app.errors import AboveLimit, InvalidInput
from surefoot.app.saga.inputs import (
    refused_above,
    says,
    schema_of,
    secret,
    secret_values,
    validate_input,
)
from surefoot.app.saga.registry import Registry
from surefoot.app.saga.schemas import without_words
from surefoot.app.saga.values import MAX_DEPTH
from surefoot.app.secrecy import MASK, scrub


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str = Field(min_length=1, max_length=5, pattern="^[a-z]+$")
    quantity: int = Field(gt=0, le=10)


class Card(BaseModel):
    kind: Literal["card"]
    number: Annotated[str, secret()]


class Cash(BaseModel):
    kind: Literal["cash"]
    cents: int


class Tree(BaseModel):
    name: str
    branches: list[Tree] = []


class Basket(BaseModel):
    count: int
    weight: float = 1.0
    gift: bool = False
    when: datetime | None = None
    colour: Colour | None = None
    price: Decimal | None = None
    items: list[Item] = Field(default=[], max_length=2)
    first: Item | None = None
    by_name: dict[str, Item] = {}
    pay: Annotated[Card | Cash, Field(discriminator="kind")] | None = None
    either: int | Item | None = None
    tree: Tree | None = None
    free: Any = None
    slash: dict[str, int] = Field(default={}, alias="a/b~c")


SCHEMA = schema_of(Basket)


def faults(
    model: type[BaseModel] | None, value: Any, schema: dict[str, Any] = SCHEMA
) -> list[dict[str, str]]:
    try:
        validate_input(schema, model, value)
    except InvalidInput as error:
        return error.faults
    return []


FITS: list[Any] = [
    {"count": 3},
    {"count": -1, "weight": 3, "gift": True},
    {"count": 1, "when": "2026-01-02T03:04:05Z", "colour": "red", "price": "1.50"},
    {"count": 1, "when": None, "price": 2.5, "items": [{"sku": "ab", "quantity": 10}]},
    {
        "count": 1,
        "by_name": {"x": {"sku": "ab", "quantity": 1}},
        "first": {"sku": "a", "quantity": 1},
    },
    {"count": 1, "pay": {"kind": "card", "number": "4"}},
    {"count": 1, "either": 3},
    {"count": 1, "either": {"sku": "a", "quantity": 1}},
    {
        "count": 1,
        "tree": {"name": "a", "branches": [{"name": "b"}]},
        "free": {"any": [1, "x", None]},
        "a/b~c": {"n": 1},
    },
]

REFUSED: list[tuple[str, Any, dict[str, str]]] = [
    ("text-for-integer", {"count": "3"}, {"/input/count": "must be an integer, not a string"}),
    (
        "true-for-integer",
        {"count": True},
        {"/input/count": "must be an integer, not true or false"},
    ),
    (
        "float-for-integer",
        {"count": 3.0},
        {"/input/count": "must be an integer, written without a decimal point"},
    ),
    ("fraction-for-integer", {"count": 3.5}, {"/input/count": "must be an integer, not a number"}),
    ("null-for-integer", {"count": None}, {"/input/count": "must be an integer, not null"}),
    ("list-for-integer", {"count": [3]}, {"/input/count": "must be an integer, not a list"}),
    (
        "integer-for-boolean",
        {"count": 1, "gift": 1},
        {"/input/gift": "must be true or false, not an integer"},
    ),
    (
        "text-for-boolean",
        {"count": 1, "gift": "true"},
        {"/input/gift": "must be true or false, not a string"},
    ),
    (
        "text-for-float",
        {"count": 1, "weight": "1"},
        {"/input/weight": "must be a number, not a string"},
    ),
    (
        "true-for-float",
        {"count": 1, "weight": True},
        {"/input/weight": "must be a number, not true or false"},
    ),
    (
        "no-date",
        {"count": 1, "when": "yesterday"},
        {"/input/when": "must be a date and time, such as 2026-11-28T17:30:00Z"},
    ),
    ("enum", {"count": 1, "colour": "green"}, {"/input/colour": 'must be one of "red", "blue"'}),
    ("missing", {}, {"/input/count": "is missing"}),
    (
        "extra",
        {"count": 1, "cuont": 2},
        {"/input/cuont": "is not a field of this input. Did you mean 'count'?"},
    ),
    (
        "several",
        {"wieght": 1},
        {
            "/input/count": "is missing",
            "/input/wieght": "is not a field of this input. Did you mean 'weight'?",
        },
    ),
    (
        "nested-missing",
        {"count": 1, "items": [{"sku": "a"}]},
        {"/input/items/0/quantity": "is missing"},
    ),
    (
        "nested-extra",
        {"count": 1, "first": {"sku": "a", "quantity": 1, "x": 1}},
        {"/input/first/x": "is not a field of this input. There are: sku, quantity."},
    ),
    (
        "nested-kind",
        {"count": 1, "first": [1]},
        {"/input/first": "must be an object or null, not a list"},
    ),
    (
        "too-small",
        {"count": 1, "items": [{"sku": "a", "quantity": 0}]},
        {"/input/items/0/quantity": "must be more than 0"},
    ),
    (
        "too-large",
        {"count": 1, "items": [{"sku": "a", "quantity": 11}]},
        {"/input/items/0/quantity": "must be at most 10"},
    ),
    (
        "too-short",
        {"count": 1, "items": [{"sku": "", "quantity": 1}]},
        {"/input/items/0/sku": "must not be empty"},
    ),
    (
        "too-long",
        {"count": 1, "items": [{"sku": "abcdef", "quantity": 1}]},
        {"/input/items/0/sku": "must have at most 5 characters"},
    ),
    (
        "pattern",
        {"count": 1, "first": {"sku": "A1", "quantity": 1}},
        {"/input/first/sku": "does not have the expected form"},
    ),
    (
        "too-many",
        {"count": 1, "items": [{"sku": "a", "quantity": 1}] * 3},
        {"/input/items": "must have at most 2 items"},
    ),
    (
        "in-a-map",
        {"count": 1, "by_name": {"k": {"sku": "a", "quantity": "1"}}},
        {"/input/by_name/k/quantity": "must be an integer, not a string"},
    ),
    (
        "escaped-pointer",
        {"count": 1, "a/b~c": {"x/y": "1"}},
        {"/input/a~1b~0c/x~1y": "must be an integer, not a string"},
    ),
    (
        "tag-unknown",
        {"count": 1, "pay": {"kind": "gold"}},
        {"/input/pay/kind": 'must be one of "card", "cash"'},
    ),
    ("tag-missing", {"count": 1, "pay": {"number": "4"}}, {"/input/pay/kind": "is missing"}),
    (
        "tag-chosen",
        {"count": 1, "pay": {"kind": "cash", "cents": "5"}},
        {"/input/pay/cents": "must be an integer, not a string"},
    ),
    (
        "union-of-kinds",
        {"count": 1, "either": "x"},
        {"/input/either": "must be an integer or an object or null, not a string"},
    ),
    (
        "union-chosen",
        {"count": 1, "either": {"sku": "a"}},
        {"/input/either/quantity": "is missing"},
    ),
    (
        "recursive",
        {"count": 1, "tree": {"name": "a", "branches": [{"name": "b", "branches": [{}]}]}},
        {"/input/tree/branches/0/branches/0/name": "is missing"},
    ),
    ("nan", {"count": 1, "weight": float("nan")}, {"/input/weight": "must be a finite number"}),
    (
        "infinity",
        {"count": 1, "free": [float("-inf")]},
        {"/input/free/0": "must be a finite number"},
    ),
    ("huge-integer", {"count": 2**63}, {"/input/count": "must fit into 64 bits"}),
    ("gigantic-integer", {"count": 10**6000}, {"/input/count": "must fit into 64 bits"}),
    (
        "nul",
        {"count": 1, "free": "a\0b"},
        {"/input/free": "must not contain NUL or half of a surrogate pair"},
    ),
    (
        "surrogate",
        {"count": 1, "free": {"x": "\ud800"}},
        {"/input/free/x": "must not contain NUL or half of a surrogate pair"},
    ),
    (
        "bad-name",
        {"count": 1, "free": {"\ud800": 1}},
        {"/input/free": "must have names that are text without NUL or half of a surrogate pair"},
    ),
    ("list", [], {"/input": "must be an object, not a list"}),
    ("null", None, {"/input": "must be an object, not null"}),
    ("text", "{}", {"/input": "must be an object, not a string"}),
]


@pytest.fixture(params=[Basket, None], ids=["with-model", "schema-only"])
def model(request: pytest.FixtureRequest) -> type[BaseModel] | None:
    chosen: type[BaseModel] | None = request.param
    return chosen


@pytest.mark.parametrize("value", FITS, ids=lambda v: "+".join(v))
def test_given_input_that_fits_when_validated_then_it_comes_back_as_given(
    model: type[BaseModel] | None, value: dict[str, Any]
) -> None:
    assert validate_input(SCHEMA, model, value) == value


@pytest.mark.parametrize(
    ("value", "told"), [pytest.param(value, told, id=name) for name, value, told in REFUSED]
)
def test_given_wrong_input_when_validated_then_place_and_remedy_with_and_without_the_code(
    model: type[BaseModel] | None, value: Any, told: dict[str, str]
) -> None:
    found = {fault["pointer"]: fault["detail"] for fault in faults(model, value)}
    assert found == told


class Said(BaseModel):
    sku: Annotated[str, Field(pattern="^[a-z]+$"), says("must be an article such as apple")]
    ref: Annotated[str, Field(pattern="^A-"), says("must be a reference such as A-17")] | None = (
        None
    )
    day: date | None = None


def test_given_an_author_s_sentence_when_a_value_does_not_match_then_it_is_said() -> None:
    schema = schema_of(Said)
    wrong = {"sku": "two words", "ref": "17", "day": "tomorrow"}
    for model in (Said, None):
        with pytest.raises(InvalidInput) as refused:
            validate_input(schema, model, wrong)
        assert refused.value.faults == [
            {
                "pointer": "/input/sku",
                "detail": "must be an article such as apple",
                "pattern": "^[a-z]+$",
            },
            {
                "pointer": "/input/ref",
                "detail": "must be a reference such as A-17",
                "pattern": "^A-",
            },
            {"pointer": "/input/day", "detail": "must be a date, such as 2026-11-28"},
        ]
    with pytest.raises(TypeError, match="say what the value must be"):
        says(" ")
    unsaid = {**schema, "properties": {"sku": {"type": "string", "pattern": "^[a-z]+$"}}}
    with pytest.raises(InvalidInput) as refused:
        validate_input(unsaid, None, {"sku": "two words"})
    assert refused.value.faults[0]["detail"] == "does not have the expected form"


NAMES = ["sku", "quantity", "kind", "number", "cents", "name", "branches", "x"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2, 2)
    | st.sampled_from(["", "a", "red", "2026-01-01T00:00:00Z", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)
# pydantic reads more kinds of dates and decimals than a JSON Schema tells
FIELDS = [name for name in SCHEMA["properties"] if name not in ("when", "price")]


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), JSON, max_size=4), st.integers() | JSON)
def test_given_any_json_when_validated_then_both_ways_tell_the_same(
    value: dict[str, Any], count: Any
) -> None:
    asked = {"count": count, **value}
    assert faults(Basket, asked) == faults(None, asked)


# --- depth -----------------------------------------------------------------------------------------------------------
def nested(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = (
            [value]
            if kind == "list"
            else {"branches": [value], "name": "a"}
            if kind == "tree"
            else {"k": value}
        )
    return value


@pytest.mark.parametrize("field", ["free", "tree"])
@pytest.mark.parametrize("kind", ["list", "object", "tree"])
def test_given_a_hundred_thousand_levels_when_validated_then_refused_without_recursion(
    model: type[BaseModel] | None, field: str, kind: str
) -> None:
    (fault,) = faults(model, {"count": 1, field: nested(100_000, kind)})
    assert fault["detail"] == f"must not be nested deeper than {MAX_DEPTH} levels"
    assert len(fault["pointer"].split("/")) == MAX_DEPTH + 2


def test_given_the_deepest_input_allowed_when_validated_then_taken(
    model: type[BaseModel] | None,
) -> None:
    value = {"count": 1, "free": nested(MAX_DEPTH - 1, "list")}
    assert validate_input(SCHEMA, model, value) == value
    assert faults(model, {"count": 1, "free": nested(MAX_DEPTH, "list")})


def test_given_many_faults_when_validated_then_at_most_a_hundred_are_listed(
    model: type[BaseModel] | None,
) -> None:
    assert len(faults(model, {"count": 1, **{f"f{i}": i for i in range(5000)}})) == 100


# --- what only the code knows ----------------------------------------------------------------------------------------
class Range(BaseModel):
    low: int
    high: int
    pin: Annotated[str, secret()] = "none"

    @field_validator("low")
    @classmethod
    def _even(cls, low: int) -> int:
        if low % 2:
            raise ValueError("must be even")
        return low

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low must not be above high (pin {self.pin})")
        return self


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param(
            {"low": 1, "high": 2}, [{"pointer": "/input/low", "detail": "must be even"}], id="field"
        ),
        pytest.param(
            {"low": 4, "high": 2, "pin": "s3cr3t"},
            [{"pointer": "/input", "detail": "low must not be above high (pin ***)"}],
            id="model",
        ),
    ],
)
def test_given_rule_in_code_when_broken_then_its_sentence_without_secrets(
    value: dict[str, Any], told: list[dict[str, str]]
) -> None:
    assert faults(Range, value, schema_of(Range)) == told
    assert faults(None, value, schema_of(Range)) == []


# --- limits --------------------------------------------------------------------------------------------------------
class Line(BaseModel):
    cents: Annotated[int, refused_above(100)]


class Bill(BaseModel):
    total: Annotated[int, refused_above(1000)] = 0
    tip: Annotated[float, refused_above(9.5)] | None = None
    lines: list[Line] = []


@pytest.mark.parametrize(
    ("value", "at"),
    [
        pytest.param(
            {"total": 1000, "tip": 9.5, "lines": [{"cents": 100}]}, None, id="at-the-limits"
        ),
        pytest.param({"total": 1001}, "/input/total", id="above"),
        pytest.param({"tip": 9.6}, "/input/tip", id="optional"),
        pytest.param(
            {"lines": [{"cents": 1}, {"cents": 101}]}, "/input/lines/1/cents", id="nested"
        ),
    ],
)
@pytest.mark.parametrize("code", [Bill, None], ids=["with-model", "schema-only"])
def test_given_amount_when_above_its_limit_then_it_is_refused(
    code: type[BaseModel] | None, value: dict[str, Any], at: str | None
) -> None:
    if at is None:
        assert validate_input(schema_of(Bill), code, value) == value
        return
    with pytest.raises(AboveLimit) as caught:
        validate_input(schema_of(Bill), code, value)
    assert caught.value.details["pointer"] == at
    assert at in caught.value.message


def test_given_a_limit_when_digested_or_stored_before_then_under_its_first_name() -> None:
    stored = without_words(schema_of(Bill))
    assert stored["properties"]["total"]["x-approval-above"] == 1000
    with pytest.raises(AboveLimit):
        validate_input(stored, None, {"total": 1001})


def test_given_no_number_when_marking_a_limit_then_refused() -> None:
    with pytest.raises(TypeError, match="say a number"):
        refused_above("100")  # type: ignore[arg-type]


# --- secrets ---------------------------------------------------------------------------------------------------------
class Keys(BaseModel):
    card: Annotated[str, secret()]
    spare: Annotated[str, secret()] | None = None
    many: list[Annotated[str, secret()]] = []
    whole: Annotated[dict[str, Any], secret()] = {}
    token: SecretStr | None = None
    pay: Annotated[Card | Cash, Field(discriminator="kind")] | None = None
    pin: Annotated[int, secret(), refused_above(9999)] = 0
    note: str = ""
    open: dict[str, Any] = {}


KEYS = {
    "card": "4111",
    "spare": None,
    "many": ["a1", "b2"],
    "whole": {"k": ["deep", {"er": 7}]},
    "token": "tk",
    "pay": {"kind": "card", "number": "5500"},
    "pin": 1234,
    "note": "hello",
    "open": {"card": "not secret"},
}


def test_given_secrets_when_collected_then_every_one_longest_first() -> None:
    assert secret_values(schema_of(Keys), KEYS) == (
        "1234",
        "4111",
        "5500",
        "deep",
        "a1",
        "b2",
        "tk",
        "7",
    )
    assert secret_values(schema_of(Keys), {"card": ""}) == ()
    assert secret_values(SCHEMA, {"count": 1}) == ()


def test_given_schema_of_the_marks_when_read_then_both_stand_beside_each_other() -> None:
    pin = schema_of(Keys)["properties"]["pin"]
    assert (pin["writeOnly"], pin["x-refused-above"]) == (True, 9999)


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        pytest.param("card 4111 failed", ("4111",), "card *** failed", id="plain"),
        pytest.param("abcd abc", ("abc", "abcd"), "*** ***", id="one-inside-another"),
        pytest.param('{"card": "a\\"b\\u00e9"}', ('a"bé',), '{"card": "***"}', id="in-json"),
        pytest.param(repr("it's\n"), ("it's\n",), '"***"', id="in-a-repr"),
        pytest.param(
            "/pay?card=a%2Fb%20c&x=a/b%20c", ("a/b c",), "/pay?card=***&x=***", id="in-an-address"
        ),
        pytest.param("nothing", ("",), "nothing", id="empty-secret"),
    ],
)
def test_given_text_with_secrets_when_scrubbed_then_none_is_left(
    text: str, secrets: tuple[str, ...], shown: str
) -> None:
    assert scrub(text, secrets) == shown


@given(st.text(min_size=4), st.text(), st.text())
def test_given_any_secret_when_scrubbed_from_json_then_it_is_gone(
    hidden: str, before: str, after: str
) -> None:
    assert all(
        hidden not in part for part in scrub(f"{before}{hidden}{after}", [hidden]).split(MASK)
    )


@pytest.mark.parametrize("saga", ["order", "change_order", "order_choreographed"])
def test_given_a_shipped_saga_then_each_pattern_of_its_input_has_a_sentence(saga: str) -> None:
    found = Registry.load(()).get(saga)
    assert found is not None
    schema = found.input_schema
    fields = [
        inner for one in schema["properties"].values() for inner in (one, *one.get("anyOf", ()))
    ]
    patterns = [one for one in fields if "pattern" in one]
    assert patterns
    assert all("must be" in one.get("x-says", "") for one in patterns)
