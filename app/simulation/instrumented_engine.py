"""The doors of a store: what the engine takes for its database.

Its transactions begin and end at named points of the stage, and fail when they are told to. A move that PostgreSQL makes
in one statement passes the same points as the transaction that makes it on SQLite, so that a seed means the same on both.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from surefoot.app.simulation.stage import Stage
from surefoot.app.store import postgres_fast_path

# What PostgreSQL does in one statement that commits by itself -> the transaction that does it elsewhere
IN_ONE = {
    "operations.complete_forward": "operations.complete",
    "submit._insert": "submit._insert",
}
SKIPPED = (
    "surefoot.app.store.session",
    "surefoot.app.simulation.instrumented_engine",
    "contextlib",
)
# What moves share, and what isolates them: the name wanted is their caller's
HELPERS = (
    "_landing",
    "_move_each",
    "_read",
    "_decide",
    "_late",
    "one",
    "each",
    "whole",
    "act",
    "look",
)


def _who_asks() -> tuple[str, bool]:
    """(`module.function` of the engine that opens this transaction, whether it only reads)."""
    reads = False
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module in SKIPPED:
            reads = reads or frame.f_code.co_name in ("asking", "reading")
        elif frame.f_code.co_name not in HELPERS:
            name = frame.f_code.co_qualname
            for inner in (".<locals>", ".<lambda>", ".<listcomp>"):
                name = name.replace(inner, "")
            return f"{module.rpartition('.')[2]}.{name}", reads
        frame = frame.f_back
    return "?", reads


class Doors:
    """Stands where the engine expects its database; anything but begin and connect is the database's own."""

    def __init__(self, engine: Engine, stage: Stage) -> None:
        self._engine, self._stage = engine, stage
        self.dialect = engine.dialect
        self._wide = postgres_fast_path.serves(engine)
        self._answered = 0  # rows of the latest statement
        self._left_to_do = ""  # what one statement did not do, and a transaction does next
        if self._wide:
            event.listen(engine, "after_cursor_execute", self._note_answer)
        self.mend()

    def mend(self) -> None:
        self.down = False
        self.locked_next = 0  # how many transactions from now on find the database locked
        self.answer_lost_next = 0  # how many COMMITs from now on land, but their answer is lost
        self.open = False  # a transaction is open just now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        name, _ = _who_asks()
        again, self._left_to_do = name == self._left_to_do, ""
        if not again:
            self._stage.point(f"{name}/before")
            self._fail()
        with self._engine.begin() as tx:
            self.open = True
            try:
                yield tx
                if not again:
                    self._stage_uncommitted(name)
            finally:
                self.open = False
        self._after_commit(name)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        name, reads = _who_asks()
        in_one = IN_ONE.get(name) if self._wide and not reads else None
        name = in_one or name
        self._stage.point(f"{name}/{'asks' if reads else 'before'}")
        self._fail()
        if in_one:
            self._stage_uncommitted(
                name
            )  # it commits by itself: whoever dies at its last line has not sent it
        with self._engine.connect() as connection:
            yield connection
        if reads:
            self._stage.point(f"{name}/asked")
        elif in_one and not self._answered:
            self._left_to_do = name
        else:
            self._after_commit(name)

    def _note_answer(self, _connection: Any, cursor: Any, *_more: Any) -> None:
        self._answered = cursor.rowcount

    def _stage_uncommitted(self, name: str) -> None:
        actor = self._stage.current
        if actor is not None and isinstance(actor.budget, int) and not actor.dies:
            actor.budget += 1  # nobody else could move meanwhile: SQLite has one writer
        self._stage.point(f"{name}/uncommitted")

    def _after_commit(self, name: str) -> None:
        if self.answer_lost_next:
            self.answer_lost_next -= 1
            raise _lost("the answer to COMMIT was lost")
        self._stage.point(f"{name}/committed")

    def _fail(self) -> None:
        if self._stage.current is None:
            return
        if self.down:
            raise _lost("the store is away")
        if self.locked_next:
            self.locked_next -= 1
            raise OperationalError(
                "simulated", None, sqlite3.OperationalError("database is locked")
            )


def _lost(why: str) -> OperationalError:
    return OperationalError("simulated", None, sqlite3.OperationalError(why))
