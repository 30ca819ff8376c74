"""What a route takes and answers, said beside the route; the API's document is made of it.

A route under /api/ without a description does not start (`document.install`), so the document
cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel

P = ParamSpec("P")
R = TypeVar("R")
_ATTRIBUTE = "_surefoot_described"


@dataclass(frozen=True)
class Parameter:
    """A query parameter or header of a request."""

    name: str
    schema: dict[str, Any]
    description: str
    place: str = "query"


@dataclass(frozen=True)
class Answer:
    """An answer other than a problem. `shape` None: it has no body; `headers`: names out of
    `document.HEADERS`.
    """

    description: str
    shape: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    media_type: str = "application/json"


@dataclass(frozen=True)
class Description:
    """`answers`: status -> answer; `problems`: slugs of `kinds.KINDS` beside those that every route
    of its sort can answer.

    `body`: the model of the request; None takes none, `EMPTY` takes nothing or an empty object.
    """

    summary: str
    group: str
    answers: dict[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    body_wanted: bool = True
    details: str = ""


def described(
    summary: str,
    group: str,
    answers: dict[int, Answer],
    *,
    problems: tuple[str, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    body: type[BaseModel] | None = None,
    body_wanted: bool = True,
    details: str = "",
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Describe a route (see Description)."""
    said = Description(summary, group, answers, problems, parameters, body, body_wanted, details)

    def mark(view: Callable[P, R]) -> Callable[P, R]:
        setattr(view, _ATTRIBUTE, said)
        return view

    return mark


def description_of(view: Callable[..., Any]) -> Description | None:
    """What was said of a view; decorators that wrap it keep it."""
    found: Description | None = getattr(view, _ATTRIBUTE, None)
    return found
