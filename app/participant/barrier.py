"""The barrier: one row for each effect key, in the participant's own transaction.

    with engine.begin() as connection, barrier(connection, ctx) as first:
        if first:
            ...                                    # write the effect
            first.keep({"order_id": 7})            # what a repeat shall answer
        return first.result

| asked for | row of the action | row of the undo | answer |
| --- | --- | --- | --- |
| action | absent | | first: do it |
| action | done | | repeat: the stored result |
| action | never (tombstone), undone | | `ActionUndone` |
| undo | absent | | empty undo: nothing to do; the tombstone stays |
| undo | done | absent | first: undo it |
| undo | any | present | repeat: the stored result |

A confirmation is an effect of its own: its row is looked at like an action's, under its own key.

Every row is inserted with ON CONFLICT DO NOTHING, never looked up first. On PostgreSQL such an
insert waits for a transaction under way that inserted the same key: if that one commits we see a
conflict, if it rolls back we are first. On SQLite writers are one after the other anyway. At a
higher isolation level PostgreSQL raises a serialization failure instead, which is safe and merely
has to be tried again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    bindparam,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from surefoot.app.clock import UtcDateTime, after
from surefoot.app.errors import SurefootError
from surefoot.app.rules.states import Kind

Result = TypeVar("Result")

DONE, UNDONE, NEVER = "done", "undone", "never"
TABLE_NAME = "surefoot_barrier"


class ActionUndone(SurefootError):
    """This effect was undone before the action came: it is refused."""

    nothing_happened = True  # the engine takes it for a refusal: this attempt had no effect


class NotSupported(SurefootError):
    """The barrier is not made for this database."""


class Named(Protocol):
    """What the barrier needs of a context: the names of an effect, and which claim is asking."""

    @property
    def key(self) -> str: ...
    @property
    def action_key(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def fence(self) -> int: ...


def barrier_table(metadata: MetaData) -> Table:
    """Put the barrier's table into a service's own metadata, so that it is created (or migrated)
    with its tables.

    Columns: `key` (job:step:item:kind); `outcome`: done, undone (a done action that was undone) or
    never (the tombstone of an action that had not come, and the row of the undo that left it);
    `fence`, the claim that wrote it (evidence only: the key decides); `result`, JSON; `at`, the
    database's time.
    """
    return Table(
        TABLE_NAME,
        metadata,
        Column("key", String(512), primary_key=True),
        Column("outcome", String(8), nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("result", JSON(none_as_null=True)),
        Column("at", UtcDateTime(), nullable=False),
    )


# Statements name the table without a schema: the connection's search path decides, so one Table
# serves all services.
rows = barrier_table(MetaData())
_THIS = rows.c.key == bindparam("p_key")
_KEEP = update(rows).where(_THIS).values(result=bindparam("p_result"))
_NOTE_UNDONE = update(rows).where(_THIS).values(outcome=UNDONE)
_READ = select(rows.c.outcome, rows.c.result).where(_THIS)


class Pass:
    """The barrier's answer.

    True: this is the first time, write the effect. False: it was written (or never will be).

    `result` is the stored result (None when nothing was kept); `empty` is true for an undo of an
    action that never ran.
    """

    def __init__(
        self,
        connection: Connection,
        key: str,
        *,
        first: bool,
        empty: bool = False,
        result: Any = None,
    ) -> None:
        self._connection, self._key = connection, key
        self.first, self.empty, self.result = first, empty, result

    def __bool__(self) -> bool:
        return self.first

    def keep(self, result: Result) -> Result:
        """Store a JSON-able result in the effect's row, in the same transaction; a repeat gets it.

        Returns it.
        """
        self._connection.execute(_KEEP, {"p_key": self._key, "p_result": result})
        self.result = result
        return result


@contextmanager
def barrier(session: Session | Connection, ctx: Named) -> Iterator[Pass]:
    """Ask whether this effect is still to be written; the answer holds until the caller's
    transaction ends.

    Args: `session`, open, in a transaction of the participant's database; the caller commits.
    `ctx`, the context of the step (`key`, `action_key`, `kind`, `fence`).
    Raises: ActionUndone when an action finds that its undo came first; the caller's transaction
    should roll back.
    """
    connection = session.connection() if isinstance(session, Session) else session
    yield _undo(connection, ctx) if ctx.kind == Kind.UNDO else _once(connection, ctx)


def _once(connection: Connection, ctx: Named) -> Pass:
    if _insert(connection, ctx.key, DONE, ctx.fence):
        return Pass(connection, ctx.key, first=True)
    outcome, result = _read(connection, ctx.key)
    if outcome != DONE:
        raise ActionUndone(key=ctx.key, outcome=outcome, fence=ctx.fence)
    return Pass(connection, ctx.key, first=False, result=result)


def _undo(connection: Connection, ctx: Named) -> Pass:
    if _insert(connection, ctx.action_key, NEVER, ctx.fence):
        # The undo's own row goes in as well: a repeat would else take the tombstone for an action
        # that ran.
        _insert(connection, ctx.key, NEVER, ctx.fence)
        return Pass(connection, ctx.key, first=False, empty=True)
    if _insert(connection, ctx.key, DONE, ctx.fence):
        # A frozen worker that asks for the action again shall be refused, not told that all is
        # well.
        connection.execute(_NOTE_UNDONE, {"p_key": ctx.action_key})
        return Pass(connection, ctx.key, first=True)
    outcome, result = _read(connection, ctx.key)
    return Pass(connection, ctx.key, first=False, empty=outcome == NEVER, result=result)


def _insert(connection: Connection, key: str, outcome: str, fence: int) -> bool:
    """Insert a row unless its key is there, waiting for a concurrent insert of it.

    True: it is this call's row.
    """
    row = {"key": key, "outcome": outcome, "fence": fence}
    return connection.execute(_insert_or_nothing(connection.dialect.name), row).first() is not None


@cache
def _insert_or_nothing(dialect: str) -> ReturningInsert[Any]:
    if dialect not in ("postgresql", "sqlite"):
        raise NotSupported(
            f"The barrier is made for PostgreSQL and SQLite, not for {dialect}.", dialect=dialect
        )
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    new = make(rows).values(at=after(0)).on_conflict_do_nothing(index_elements=[rows.c.key])
    return new.returning(rows.c.key)


def _read(connection: Connection, key: str) -> tuple[str, Any]:
    # A statement of its own, after the insert: at READ COMMITTED it sees what the one we waited for
    # has committed.
    row = connection.execute(_READ, {"p_key": key}).one()
    return row.outcome, row.result
