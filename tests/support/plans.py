"""How a database would answer what was asked of it: which index serves a statement, and whether it sorts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, text

Sent = tuple[str, Any]  # SQL and its parameters
PATHS = (
    "seqscan",
    "bitmapscan",
    "hashjoin",
    "mergejoin",
)  # on empty tables all of them cost the same
SORTS = ("Sort", "TEMP B-TREE FOR ORDER")


@contextmanager
def heard(db: Engine) -> Iterator[list[Sent]]:
    """Every statement that is sent meanwhile."""
    sent: list[Sent] = []

    def hear(
        connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool
    ) -> None:
        sent.append((sql, parameters))

    event.listen(db, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        event.remove(db, "before_cursor_execute", hear)


def plan_of(
    connection: Connection, statement: Sent, *, without: tuple[str, ...] = ("seqscan",)
) -> str:
    """The plan of a statement. `without`: paths that PostgreSQL takes last, for its tables are empty here."""
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        for path in without:
            connection.execute(text(f"SET LOCAL enable_{path} = off"))
    sql, parameters = statement
    return "\n".join(
        str(row)
        for row in connection.exec_driver_sql(
            ("EXPLAIN " if postgresql else "EXPLAIN QUERY PLAN ") + sql, parameters
        )
    )


def first_plan(
    db: Engine, ask: Callable[[Connection], Any], *, without: tuple[str, ...] = ("seqscan",)
) -> tuple[str, str]:
    """(SQL, plan) of the first statement that `ask` sends."""
    with db.connect() as connection, connection.begin():
        with heard(db) as sent:
            ask(connection)
        statement = next(one for one in sent if not one[0].startswith("BEGIN"))
        return statement[0], plan_of(connection, statement, without=without)


def served(plan: str, indexes: str) -> bool:
    """Whether one of these indexes (names divided by a bar) serves it."""
    return any(name in plan for name in indexes.split("|"))


def sorts(plan: str) -> bool:
    return any(word in plan for word in SORTS)
