"""The store of a simulation: the real schema in an in-memory SQLite, made once for a process and emptied for each schedule.

One connection serves all actors, for only one of them runs at a time and none ever stops inside a transaction: SQLite has
one writer anyway. So the schedules of one process follow each other, never overlap.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from types import FrameType
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from app.participant.barrier import rows as barrier_rows
from app.simulation import watch
from app.simulation.clock import VirtualClock
from app.simulation.stage import Crash, Stage
from app.store.migrate import upgrade
from app.store.session import prepare
from app.store.tables import metadata, rounds


class SimStore:
    """`engine`: the plain database, for looking and for the service. `doors`: what the engine is given; its transactions
    begin and end at named points of the stage, and fail when told to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stage = Stage()
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        prepare(self.engine)
        event.listen(self.engine, "connect", self._connected)
        upgrade(self.engine)
        barrier_rows.metadata.create_all(self.engine)
        raw = self.raw
        watch.install(raw)
        tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ordered = [table.name for table in reversed(metadata.sorted_tables)]
        self._tables = [*ordered, *(t for t in tables if t not in ordered and t != "alembic_version")]
        self.doors = cast(Engine, Doors(self.engine, self.stage))

    def begin_again(self) -> None:
        """Empty, at the beginning of time, with nobody on the stage."""
        self.stage.clear()
        fresh = Stage()
        self.stage.__dict__.update(fresh.__dict__)
        self.clock.set(0.0)
        raw = self.raw
        raw.execute("BEGIN")
        for table in self._tables:
            if table != rounds.name:  # its rows come with the schema
                raw.execute(f"DELETE FROM {table}")  # noqa: S608 - the schema's own names
        raw.execute(f"UPDATE {rounds.name} SET begun_at = ?, position = ''", (self.clock.text(),))  # noqa: S608
        raw.execute("COMMIT")
        cast(Doors, self.doors).mend()

    @property
    def trouble(self) -> Doors:
        """Where to say how the store shall fail."""
        return cast(Doors, self.doors)

    @cached_property
    def raw(self) -> sqlite3.Connection:
        """The one connection there is, for questions that are asked too often for anything slower."""
        with self.engine.connect() as connection:
            return cast(sqlite3.Connection, connection.connection.dbapi_connection)

    def _connected(self, connection: sqlite3.Connection, _record: Any) -> None:
        self.clock.install(connection)
        stage = self.stage
        connection.create_function("sim_now", 0, self.clock.text)
        connection.create_function("sim_role", 0, lambda: stage.current.role if stage.current else None)
        connection.create_function("sim_fence", 0, lambda: stage.current.fence if stage.current else None)


def raw_id(id_: str) -> str:
    """An id as SQLite has it."""
    return id_.replace("-", "")


SKIPPED = ("app.store.session", "app.simulation.store", "contextlib")
# What moves share, and what isolates them: the name wanted is their caller's
HELPERS = ("_landing", "_move_each", "_read", "_decide", "_late", "one", "each", "whole", "act", "look")


def _who_asks() -> tuple[str, bool]:
    """(`module.function` of the engine that opens this transaction, whether it only reads)."""
    reads = False
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module in SKIPPED:
            reads = reads or frame.f_code.co_name in ("asking", "reading")
        elif frame.f_code.co_name not in HELPERS:
            name = frame.f_code.co_qualname.replace(".<locals>", "").replace(".<lambda>", "")
            return f"{module.rpartition('.')[2]}.{name}", reads
        frame = frame.f_back
    return "?", reads


class Doors:
    """Stands where the engine expects its database; anything but begin and connect is the database's own."""

    def __init__(self, engine: Engine, stage: Stage) -> None:
        self._engine, self._stage = engine, stage
        self.dialect = engine.dialect
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
        self._stage.point(f"{name}/before")
        self._fail()
        with self._engine.begin() as tx:
            self.open = True
            try:
                yield tx
                self._stage_uncommitted(name)
            finally:
                self.open = False
        self._after_commit(name)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        name, reads = _who_asks()
        self._stage.point(f"{name}/{'asks' if reads else 'before'}")
        self._fail()
        with self._engine.connect() as connection:
            yield connection
        if reads:
            self._stage.point(f"{name}/asked")
        else:
            self._after_commit(name)

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
            raise OperationalError("simulated", None, sqlite3.OperationalError("database is locked"))


def _lost(why: str) -> OperationalError:
    return OperationalError("simulated", None, sqlite3.OperationalError(why))


class HostTime:
    """The host's clock as the engine's modules see it: it stands with the virtual one, and sleeping is waiting on the stage."""

    def __init__(self, store: SimStore) -> None:
        self._store, self._slept_s = store, 0.0

    def monotonic(self) -> float:
        return self._store.clock.now_s + self._slept_s

    def sleep(self, seconds: float) -> None:
        self._slept_s += seconds
        self._store.stage.wait("sleeps")


_stores: dict[str, SimStore] = {}


def store_of_this_process() -> SimStore:
    """The one store of this process, empty."""
    store = _stores.setdefault("only", SimStore()) if not _stores else _stores["only"]
    store.begin_again()
    return store


__all__ = ["Crash", "Doors", "HostTime", "SimStore", "store_of_this_process"]
