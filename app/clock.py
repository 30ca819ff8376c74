"""Time is the database's.

Hosts disagree about the time; the store is one. So no host clock is ever compared with a stored
time: statements say `now()` and `after(seconds)`, and the database fills them in. Two forms,
because PostgreSQL has two clocks:

* `now()` belongs in WHERE: it is `statement_timestamp()` there, stable within the statement, so an
  index serves it.
* `after(seconds)` belongs in SET of a lease or a due time: it is `clock_timestamp()`, because a
  statement may have waited seconds for a lock, and a lease counted from before that wait would be
  half spent when granted.

SQLite has one clock and keeps times as text of fixed width in UTC, which compares like the time
itself. Stored and read values are aware datetimes in UTC (`UtcDateTime`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import FunctionElement, bindparam
from sqlalchemy.types import TypeDecorator

# strftime's %f is SS.SSS; three zeros make it the six digits SQLAlchemy writes
SQLITE_FORMAT = "%Y-%m-%d %H:%M:%f000"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: `timestamptz` on PostgreSQL, text of fixed width on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored: say which time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads as SQL
    """The database's time as of this statement. For WHERE."""

    type = UtcDateTime()
    inherit_cache = True


class after(FunctionElement[datetime]):  # noqa: N801 - reads as SQL
    """The database's time `seconds` from this instant (negative: ago).

    For SET; `seconds` may be SQL.
    """

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[Any]) -> None:
        self.seconds = float(seconds) if isinstance(seconds, (int, float)) else None
        # Never a name of a column: Core would take such a bind for a value to SET.
        super().__init__(
            bindparam(None, float(seconds)) if isinstance(seconds, (int, float)) else seconds
        )


class ago(FunctionElement[datetime]):  # noqa: N801 - reads as SQL
    """The database's time `seconds` before this statement. For WHERE (stable within the statement)."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[Any]) -> None:
        super().__init__(
            bindparam(None, float(seconds)) if isinstance(seconds, (int, float)) else seconds
        )


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('{SQLITE_FORMAT}', 'now')"


@compiles(after, "sqlite")
def _after_sqlite(element: after, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('{SQLITE_FORMAT}', 'now', ({compiler.process(element.clauses, **kw)}) || ' seconds')"


@compiles(ago, "sqlite")
def _ago_sqlite(element: ago, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('{SQLITE_FORMAT}', 'now', (-({compiler.process(element.clauses, **kw)})) || ' seconds')"


@compiles(now)
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "statement_timestamp()"


@compiles(after)
def _after_postgresql(element: after, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(ago)
def _ago_postgresql(element: ago, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(statement_timestamp() - make_interval(secs => {compiler.process(element.clauses, **kw)}))"
