"""The store of a simulation: the real schema, made once for a process and emptied for each
schedule.

One actor runs at a time, and none ever stops inside a transaction. So one connection serves all of
them, and the schedules of one process follow each other, never overlap. Usually it is SQLite in
memory; `simulation.postgres` has the other one.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from surefoot.app.participant.barrier import rows as barrier_rows
from surefoot.app.simulation import monitors
from surefoot.app.simulation.direct import DirectEngine
from surefoot.app.simulation.host import SimulatedHost
from surefoot.app.simulation.stage import Scheduler
from surefoot.app.store import postgres_fast_path
from surefoot.app.store.host import living_in
from surefoot.app.store.migrate import upgrade
from surefoot.app.store.session import configure_sqlite
from surefoot.app.store.tables import metadata, periodic_runs
from surefoot.app.testkit.clock import VirtualClock


class SimStore(ABC):
    """`engine`: the plain database, for looking and for the service.

    `db`: the same seen from `host`.

    Transactions of `db` begin and end at named points of the stage, and fail when told to.
    """

    engine: Engine
    asked_each = 1  # after how many actions that wrote something it is asked what must hold

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stage = Scheduler()

    def build(self) -> None:
        """Make the tables. Called once, when `engine` is there."""
        upgrade(self.engine)
        barrier_rows.metadata.create_all(self.engine)
        in_one = postgres_fast_path.serves(self.engine)
        self.host = SimulatedHost(self.stage, self.clock, in_one=in_one)
        if in_one:
            event.listen(self.engine, "after_cursor_execute", self._note_answer)
        self.db = living_in(self.engine, self.host)

    def _note_answer(self, _connection: Any, cursor: Any, *_more: Any) -> None:
        self.host.answered = cursor.rowcount

    def begin_again(self) -> None:
        """Empty, at the beginning of time, with nobody on the stage."""
        self.stage.clear()
        fresh = Scheduler()
        self.stage.__dict__.update(fresh.__dict__)
        self.clock.set(0.0)
        self.empty()
        self.host.mend()

    @abstractmethod
    def empty(self) -> None:
        """No row but those that come with the schema."""

    @abstractmethod
    def ask(self, sql: str, *values: Any) -> list[Any]:
        """The rows of a question that is asked too often for anything slower.

        `?` stands for a value; ids are text.
        """

    @abstractmethod
    def changes(self) -> int:
        """A number that is another one whenever something was written."""

    @abstractmethod
    def broken(self, slack_ago: str, bound_ago: str) -> list[tuple[str, str]]:
        """What does not hold: (sentence, id) of each row. The times as `clock.text` has them."""


class SqliteStore(SimStore):
    """In memory, over one connection."""

    def __init__(self, *, direct: bool = True) -> None:
        """`direct`: statements go past SQLAlchemy's connections (`simulation.direct`), which takes
        half the time.
        """
        super().__init__()
        once = {"check_same_thread": False, "cached_statements": 1000}  # all that it ever runs
        plain = create_engine("sqlite://", poolclass=StaticPool, connect_args=once)
        configure_sqlite(plain)
        event.listen(plain, "connect", self._connected)
        with plain.connect() as connection:
            self.raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        self.engine = plain
        self.build()
        if direct:
            self.engine = cast(Engine, DirectEngine(plain))
            self.db = living_in(self.engine, self.host)
        monitors.install(self.raw)
        self.raw.execute("DROP TRIGGER acts_no_delete")  # a schedule begins without any act
        found = self.raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        self._tables = ordered([row[0] for row in found])

    def empty(self) -> None:
        raw = self.raw
        raw.execute("BEGIN")
        for table in self._tables:
            raw.execute(f"DELETE FROM {table}")  # noqa: S608 - the schema's own names
        raw.execute(FIRST_ROUND.format(self.clock.text()))
        raw.execute("COMMIT")

    def ask(self, sql: str, *values: Any) -> list[Any]:
        return self.raw.execute(sql, [_as_kept(value) for value in values]).fetchall()

    def changes(self) -> int:
        return self.raw.total_changes

    def broken(self, slack_ago: str, bound_ago: str) -> list[tuple[str, str]]:
        times = {"slack_ago": slack_ago, "bound_ago": bound_ago}
        return self.raw.execute(monitors.SQLITE, times).fetchall()

    def _connected(self, connection: sqlite3.Connection, _record: Any) -> None:
        self.clock.install(connection)
        stage = self.stage
        connection.create_function("sim_now", 0, self.clock.text)
        connection.create_function(
            "sim_role", 0, lambda: stage.current.role if stage.current else None
        )
        connection.create_function(
            "sim_fence", 0, lambda: stage.current.fence if stage.current else None
        )


FIRST_ROUND = f"UPDATE {periodic_runs.name} SET started_at = '{{}}', cursor = ''"  # noqa: S608 - our own


def ordered(tables: Sequence[str]) -> list[str]:
    """The tables to empty, those that refer to others first."""
    known = [table.name for table in reversed(metadata.sorted_tables)]
    more = [name for name in tables if name not in known and name != "alembic_version"]
    return [
        name for name in (*known, *more) if name != periodic_runs.name
    ]  # its rows come with the schema


def _as_kept(value: Any) -> Any:
    """An id as SQLite has it."""
    return value.replace("-", "") if isinstance(value, str) and len(value) == 36 else value


_stores: dict[str, SimStore] = {}


def store_of_this_process() -> SimStore:
    """The one store in memory of this process, empty."""
    if "only" not in _stores:
        _stores["only"] = SqliteStore()
    store = _stores["only"]
    store.begin_again()
    return store


__all__ = ["SimStore", "SqliteStore", "ordered", "store_of_this_process"]
