"""A job in one line: what a template may name, and what is said of an input."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from surefoot.app.errors import DefinitionError
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.inputs import schema_of, secret
from surefoot.app.saga.summary import MOST_CHARACTERS, mistakes, summary_of
from surefoot.app.saga.words import StepWords, Words


class Place(BaseModel):
    city: str


class Wish(BaseModel):
    sku: str
    quantity: int = 1
    amount_cents: int
    ratio: float = 0.5
    gift: bool = False
    day: date | None = None
    place: Place | None = None
    names: list[str] = []
    card: Annotated[str, secret()]


SCHEMA = schema_of(Wish)
GIVEN: dict[str, Any] = {"sku": "apple", "amount_cents": 125050, "card": "tok_canary"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{skuu}", "names 'skuu', which is not a field of the input. Did you mean 'sku'?"),
        ("{card}", "names 'card', which is a secret. Leave it out"),
        ("{place}", "which has more than one value"),
        ("{names}", "which has more than one value"),
        ("{place.city}", "not a field of the input"),
        ("{}", "not a field of the input"),
        ("{sku", "cannot be read"),
        ("{sku!r}", "says {sku!r}. Say {sku}"),
        ("{amount_cents:,.2f}", "Say {amount_cents}, or {amount_cents:cents}"),
        ("{sku:cents}", "sku is not a whole number"),
        ("{ratio:cents}", "ratio is not a whole number"),
    ],
)
def test_given_a_template_that_cannot_be_filled_when_declared_then_told_by_the_sagas_line(
    template: str, said: str
) -> None:
    (mistake,) = mistakes(template, SCHEMA)
    assert said in mistake
    saga = Saga("wish", version=1, input=Wish, summary=template)

    @saga.step(lane="a", no_effect=True)
    def only(ctx, o) -> None:
        return None

    with pytest.raises(DefinitionError, match=r"test_summary\.py:\d+: saga wish: summary= "):
        _ = saga.graph


def test_given_an_input_when_accepted_then_its_fields_in_one_line_with_defaults_and_money() -> None:
    template = "{quantity} × {sku}{{}}, {amount_cents:cents}, gift: {gift}, {day}"
    assert summary_of(template, SCHEMA, GIVEN) == "1 × apple{}, 1,250.50, gift: no, –"
    assert list(mistakes(template, SCHEMA)) == []
    assert summary_of("{amount_cents:cents}", SCHEMA, GIVEN | {"amount_cents": -5}) == "-0.05"
    assert summary_of("", SCHEMA, GIVEN) is None


def test_given_a_secret_in_another_field_or_text_that_breaks_lines_then_masked_and_one_line_and_bounded() -> (
    None
):
    said = summary_of("{sku}", SCHEMA, GIVEN | {"sku": "paid by tok_canary"})
    assert said == "paid by ***"
    assert summary_of("{sku}", SCHEMA, GIVEN | {"sku": "a\n\x1b[31mb\u202ec"}) == "a [31mb c"
    long = summary_of("{sku}" * 9, SCHEMA, GIVEN | {"sku": "x" * 500})
    assert long is not None
    assert len(long) == MOST_CHARACTERS
    assert long.endswith("…")


def test_given_words_when_changed_then_the_digest_stands_and_they_are_read_back() -> None:
    def made(title: str, done: str, undone: str, summary: str) -> Saga[Wish]:
        saga = Saga("wish", version=1, input=Wish, summary=summary)

        @saga.step(lane="a", title=title, done=done)
        def bind_book(ctx, o) -> None:
            return None

        @bind_book.compensate("exact", undone=undone)
        def unbind(ctx, o) -> None:
            return None

        return saga

    bare, said = (
        made("", "", "", ""),
        made("bind the book", "book bound", "book taken apart", "{sku}"),
    )
    assert bare.digest == said.digest
    assert (
        bare.words.title("bind_book"),
        bare.words.done("bind_book"),
        bare.words.undone("bind_book", "unbind"),
    ) == (
        "bind_book",
        "bind_book",
        "unbind",
    )
    assert said.words == Words(
        "{sku}", {"bind_book": StepWords("bind the book", "book bound", "book taken apart")}
    )
    assert Words.from_json(said.words.to_json() | {"of_a_newer_release": 1}) == said.words
    assert Words.from_json(None) == Words()


@pytest.mark.parametrize("words", [{"title": 5}, {"done": "two\nlines"}, {"title": "x" * 121}])
def test_given_words_that_are_no_short_line_when_declared_then_told(words: dict[str, Any]) -> None:
    saga = Saga("wish", version=1, input=Wish)
    with pytest.raises(DefinitionError, match=r"step only: (title|done)"):

        @saga.step(lane="a", no_effect=True, **words)
        def only(ctx, o) -> None:
            return None
