"""A job's input: what it must be, and which of it nobody may see.

Two marks name a property in the JSON Schema, so that a web server without the saga's code can obey
them: `"writeOnly": true` (a secret: the worker alone sees it) and `"x-refused-above": N` (a request
with more is refused).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from surefoot.app.errors import AboveLimit, InvalidInput
from surefoot.app.saga.schemas import FIRST_NAMES, LIMIT, closed, marked
from surefoot.app.saga.validation import SAYS, model_faults, schema_faults, storage_faults
from surefoot.app.saga.values import pointer
from surefoot.app.secrecy import Secrets, scrub

SECRET = "writeOnly"


@dataclass(frozen=True)
class Mark:
    """A keyword that an annotated field's JSON Schema carries."""

    keyword: str
    value: bool | float | str

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), self.keyword: self.value}


def secret() -> Mark:
    """`card: Annotated[str, secret()]`: no page, command, answer or line of a log shows it."""
    return Mark(SECRET, True)


def says(sentence: str) -> Mark:
    """`sku: Annotated[str, Field(pattern=…), says("must be an article such as apple")]`.

    It is said of a value that does not match, on pages, in answers and in a terminal.
    """
    if not sentence.strip():
        raise TypeError("says(''): say what the value must be")
    return Mark(SAYS, sentence)


def refused_above(limit: float) -> Mark:
    """`amount_cents: Annotated[int, refused_above(100_000)]`: a job with more than that is refused."""
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise TypeError(f"refused_above({limit!r}): say a number")
    return Mark(LIMIT, limit)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model as inputs are read: no extra fields, at any level."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **closed(model.model_json_schema(mode="validation")),
    }


def parse_input(model: type[BaseModel], value: dict[str, Any]) -> BaseModel:
    """The input as the developer's model, read as strict JSON (so a date may be text, and a number
    may not).

    Raises: pydantic's ValidationError.
    """
    return model.model_validate_json(json.dumps(value), strict=True, extra="forbid")


def validate_input(
    schema: dict[str, Any], model: type[BaseModel] | None, value: Any
) -> dict[str, Any]:
    """The input as it was given, if it fits.

    Args: `schema`, the saga's from the catalogue; `model`, None in a process without the saga's
    code; `value`, parsed JSON.
    Raises: InvalidInput, `faults` with the same pointers with and without the model; AboveLimit,
    `details` pointer and limit.
    """
    faults = storage_faults(value)
    if not faults and not isinstance(value, dict):
        faults = schema_faults({"type": "object"}, value)
    if not faults and model is None:
        faults = schema_faults(schema, value)
    elif not faults and model is not None:
        try:
            parse_input(model, value)
        except ValidationError as error:
            hidden = secret_values(schema, value)
            told = [
                {**fault, "detail": scrub(fault["detail"], hidden)}
                for fault in model_faults(error, value)
            ]
            faults = schema_faults(schema, value) or told
    if faults:
        raise InvalidInput(faults=faults)
    limits = (
        found for word in (LIMIT, FIRST_NAMES[LIMIT]) for found in marked(schema, value, word)
    )
    for path, limit, amount in limits:
        if isinstance(amount, (int, float)) and amount > limit:
            at = pointer(*path)
            raise AboveLimit(f"{at} is above its limit, {limit}.", pointer=at, limit=limit)
    return dict(value)


def secret_values(schema: dict[str, Any], value: Any) -> Secrets:
    """Every secret text or number in an input, as text, the longest first (one may hold another).

    What the model puts in the place of one that was left out stands in the code, and is none.
    """
    found = {text for _, _, hidden in marked(schema, value, SECRET) for text in _texts(hidden)}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def has_secrets(schema: dict[str, Any]) -> bool:
    """Whether any place of such an input can be a secret. Inputs can be large, and most have none."""
    return f'"{SECRET}": true' in json.dumps(schema)


def _texts(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, (dict, list)):
            stack.extend(here.values() if isinstance(here, dict) else here)
        elif here is not None and not isinstance(here, bool) and str(here):
            yield str(here)
