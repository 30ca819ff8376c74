"""What shapes of several rooms are made of."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from surefoot.app.rules.decisions import LetterActionWord
from surefoot.app.rules.fidelities import FidelityWord

T = TypeVar("T")
Fidelity = FidelityWord
LetterAction = LetterActionWord
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Path = Annotated[str, Field(description="A path on this server.")]
Cursor = Annotated[
    str | None, Field(description="The `cursor` of the next request; null at the end.")
]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Listed(Shape, Generic[T]):
    items: list[T]
