"""What the registry finds in a module: two versions of one saga, and an alias that is no second saga."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from surefoot.app.saga.definition import Saga


class Ask(BaseModel):
    n: int = 1


old = Saga("trip", version=1, input=Ask)
new = Saga("trip", version=2, input=Ask)
alias = new


@old.step(lane="a", undo=None)
def book(ctx: Any, o: Ask) -> None: ...


@new.step(lane="b", undo=None)
def book_all(ctx: Any, o: Ask) -> None: ...
