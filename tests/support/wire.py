"""The line to the database, cut at a chosen commit: before it arrived, or after it was done and before its answer came back."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psycopg
from sqlalchemy import Engine

from surefoot.app.store.session import MODE, SINGLE

When = Literal["before", "after", "conflict"]
WRITES = ("UPDATE", "INSERT", "DELETE", "WITH")


class Wire:
    """Counts the commits of an engine while it is `open`, and cuts the line at number `cut_at`.

    `when`: "before", the commit never happens; "after", it happens and its answer is lost; "conflict", the database
    refuses it and asks for the whole transaction again. A single statement that commits by itself counts as one.
    """

    def __init__(self, db: Engine) -> None:
        self.db = db
        self.commits = 0
        self.cut_at: tuple[int, ...] = ()
        self.when: When = "after"
        self._open = False
        self._lock = threading.Lock()
        self._do_commit, self._do_execute = db.dialect.do_commit, db.dialect.do_execute
        db.dialect.do_commit = self._commit  # type: ignore[method-assign]
        db.dialect.do_execute = self._execute  # type: ignore[method-assign]

    @contextmanager
    def open(self) -> Iterator[None]:
        """The engine is at work; what tests do beside it does not count."""
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def cut(self, *at: int, when: When) -> None:
        self.commits, self.cut_at, self.when = 0, at, when

    def _commit(self, connection: Any) -> None:
        self._through(lambda: self._do_commit(connection))

    def _execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        def do() -> None:
            self._do_execute(cursor, statement, parameters, context)

        options = context.root_connection.get_execution_options() if context is not None else {}
        alone = options.get(MODE) == SINGLE and statement.lstrip().startswith(WRITES)
        self._through(do) if alone else do()

    def _through(self, commit: Callable[[], None]) -> None:
        with self._lock:
            counts = self._open
            self.commits += counts
            number = self.commits
        if not counts or number not in self.cut_at:
            return commit()
        if self.when == "conflict":
            raise self._conflict()
        if self.when == "after":
            commit()
        raise self._lost()

    def _lost(self) -> Exception:
        if self.db.dialect.name == "sqlite":
            return sqlite3.OperationalError("disk I/O error")
        return psycopg.OperationalError("server closed the connection unexpectedly")

    def _conflict(self) -> Exception:
        if self.db.dialect.name == "sqlite":
            return sqlite3.OperationalError("database is locked")
        return psycopg.errors.SerializationFailure("could not serialize access")
