"""Dead letters, alone and in lists, and what was done about many."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from surefoot.app.rules.states import KindWord, LetterStateWord
from surefoot.web.api.shapes.common import Cursor, Id, LetterAction, Path, Shape

FIRST_LETTERS = 20  # that the answer to a redrive of many names


class LetterLinks(Shape):
    self: Path
    job: Path
    why: Path
    history: Path
    effects: Path


class Dated(Shape):
    at: datetime
    by: str
    why: str


class Letter(Shape):
    """An operation that was given up."""

    id: Id
    job: Id
    name: str = Field(description="The job's name for people.")
    saga: str
    step: str
    item: str
    kind: KindWord
    why: str = Field(
        description="`exhausted`, `queue_timeout` (no worker claimed it), `stalled`, `unknown_outcome`,"
        " `failed` (for good), `lock_timeout`, `late_undo`, `late`, …"
    )
    error: dict[str, Any] | None
    attempts: int
    needs_person: bool = Field(
        description="It holds its job in `attention`; otherwise the job ends, or has ended, by itself."
    )
    state: LetterStateWord
    actions: list[LetterAction] = Field(description="What can be done about it now.")
    redrive: Dated | None = Field(
        description="When it is redriven by the relay, in whose name and why."
    )
    created_at: datetime
    closed_at: datetime | None
    resolution: str | None
    resolved_by: str | None
    resolved_why: str | None
    resubmitted_as: Id | None = Field(description="The new job made from the ended one.")
    payload: Path = Field(
        description="The job whose input the operation was given. Inputs are never shown."
    )
    links: LetterLinks


class LetterList(Shape):
    items: list[Letter]
    next: Cursor


class EndedAttempt(Shape):
    at: datetime
    attempt: int | None
    fence: int | None
    event: str
    error: dict[str, Any] | None


class WholeLetter(Letter):
    history: list[EndedAttempt] = Field(
        description="How its last 100 attempts ended, oldest first."
    )


class DecidedLetter(WholeLetter):
    """A letter, and what became of the request."""

    message: str


class Redriven(Shape):
    letters: int = Field(description="How many are redriven.")
    takes_seconds: float = Field(description="Until the last of them is redriven.")
    dry_run: bool
    more: bool = Field(
        description="There are more letters than one request redrives: ask again when these are done."
    )
    first: list[Id] = Field(description=f"The first {FIRST_LETTERS}.")


class Unscheduled(Shape):
    unscheduled: int
