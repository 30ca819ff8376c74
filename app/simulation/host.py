"""The engine's host in a simulation: virtual time, chance and ids from a seed, watched
transactions.

Transactions begin and end at named points of the stage, and fail when they are told to. A change
that PostgreSQL makes in one statement passes the same points as the transaction that makes it on
SQLite, so that a seed means the same on both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from random import Random
from types import TracebackType

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from surefoot.app.simulation.stage import Scheduler
from surefoot.app.store.host import READING, SINGLE, Host, connected
from surefoot.app.testkit.clock import START, VirtualClock

# What PostgreSQL does in one statement that commits by itself, and a transaction does elsewhere
IN_ONE = ("operations.complete", "submit.insert")


class SimulatedHost(Host):
    """`in_one`: the database makes the changes named in IN_ONE in one statement.

    Chance and ids follow from the seed that `drawing` gets.
    """

    def __init__(self, stage: Scheduler, clock: VirtualClock, *, in_one: bool = False) -> None:
        super().__init__()
        self.one_writer = nullcontext()  # actors stop before a transaction, never in one
        self._stage, self._clock, self._in_one = stage, clock, in_one
        self._slept_s = 0.0
        self._chance: Random | None = None
        self._ids = 0
        self.answered = 0  # rows of the latest statement
        self._left_to_do = ""  # what one statement did not do, and a transaction does next
        self.mend()

    def mend(self) -> None:
        self.down = False
        self.locked_next = 0  # how many transactions from now on find the database locked
        self.answer_lost_next = 0  # how many COMMITs from now on land, but their answer is lost
        self.open = False  # a transaction is open just now

    # --- time, chance and ids ---------------------------------------------------------------------
    @contextmanager
    def drawing(self, seed: int) -> Iterator[None]:
        """Inside, all that the engine draws follows from `seed`, ids too. Begins with no memory."""
        self.forget()
        self._chance, self._ids, self._slept_s = Random(seed), 0, 0.0
        try:
            yield
        finally:
            self._chance = None
            self.forget()

    def monotonic(self) -> float:
        """It stands with the virtual clock, but for what was slept."""
        return self._clock.now_s + self._slept_s

    def sleep(self, seconds: float) -> None:
        """To sleep is to wait on the stage."""
        self._slept_s += seconds
        self._stage.wait("sleeps")

    def random(self) -> float:
        return super().random() if self._chance is None else self._chance.random()

    def new_id(self) -> str:
        """A UUIDv7 of the virtual time and a counter; a real one outside `drawing`."""
        if self._chance is None:
            return super().new_id()
        self._ids += 1
        ms = int((START.timestamp() + self._clock.now_s) * 1000)
        digits = f"{ms:012x}7000{0x8000000000000000 + self._ids:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def new_token(self) -> str:
        return (
            super().new_token() if self._chance is None else f"{self._chance.getrandbits(64):016x}"
        )

    # --- the database -----------------------------------------------------------------------------
    @contextmanager
    def writing(self, db: Engine, name: str) -> Iterator[Connection]:
        again, self._left_to_do = name == self._left_to_do, ""
        if not again:
            self._stage.point(f"{name}/before")
            self._fail()
        with db.begin() as tx:
            self.open = True
            try:
                yield tx
                if not again:
                    self._stage_uncommitted(name)
            finally:
                self.open = False
        self._after_commit(name)

    @contextmanager
    def single(self, db: Engine, name: str) -> Iterator[Connection]:
        in_one = self._in_one and name in IN_ONE
        self._stage.point(f"{name}/before")
        self._fail()
        if in_one:
            # it commits by itself: a process that dies now has not sent it
            self._stage_uncommitted(name)
        with connected(db, SINGLE) as connection:
            yield connection
        if in_one and not self.answered:
            self._left_to_do = name
        else:
            self._after_commit(name)

    def asking(self, db: Engine, name: str) -> Reads:
        return Reads(self, name, connected(db, SINGLE))

    def reading(self, db: Engine, name: str) -> Reads:
        return Reads(self, name, connected(db, READING))

    def asks(self, name: str) -> None:
        """An actor is about to read."""
        self._stage.point(f"{name}/asks")
        self._fail()

    def has_asked(self, name: str) -> None:
        """An actor has read, and has not acted on it yet."""
        self._stage.point(f"{name}/asked")

    # --- how --------------------------------------------------------------------------------------
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


class Reads(AbstractContextManager[Connection]):
    """A connection for reading, between two points of the stage."""

    __slots__ = ("_host", "_inner", "_name")

    def __init__(self, host: SimulatedHost, name: str, inner: connected) -> None:
        self._host, self._name, self._inner = host, name, inner

    def __enter__(self) -> Connection:
        self._host.asks(self._name)
        return self._inner.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._inner.__exit__(kind, error, where)
        if kind is None:
            self._host.has_asked(self._name)


def _lost(why: str) -> OperationalError:
    return OperationalError("simulated", None, sqlite3.OperationalError(why))
