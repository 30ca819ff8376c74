"""Small sagas for the drill: each with one mistake between its lines, and the same without it.

The till and the shelf are other machines: what they do in one call is done at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, MetaData, create_engine, event

from surefoot import (
    Context,
    EffectReport,
    EffectState,
    Rejected,
    Saga,
    barrier,
    barrier_table,
    stand_in,
)


class Wish(BaseModel):
    cents: int


@stand_in
class Till:
    """A remote that keeps no keys: what it is asked for twice it does twice. `paid`: who -> how often."""

    def begin(self) -> None:
        self.paid: dict[str, int] = {}
        self.refused: set[str] = set()

    def pay(self, who: str) -> None:
        self.paid[who] = self.paid.get(who, 0) + 1

    def has(self, who: str) -> bool:
        return self.paid.get(who, 0) > 0

    def pay_once(self, who: str) -> None:
        if who in self.refused:
            raise Rejected("taken back before it came")
        self.paid.setdefault(who, 1)

    def take_back(self, who: str) -> None:
        self.paid.pop(who, None)
        self.refused.add(who)

    def seen(self, keys: Iterable[str]) -> list[EffectReport]:
        return [
            EffectReport(key, EffectState.DONE if self.has(key) else EffectState.UNDONE)
            for key in keys
            if key in self.paid
        ]


Pay = Callable[[Context, Till], None]


def saga_with(name: str, pay: Pay, world: Callable[[], Iterator[Any]] | None = None) -> Saga[Wish]:
    """A step that pays as told and can be taken back, and one behind which there is no return."""
    till = Till()
    saga = Saga(name, version=1, input=Wish, examples=[Wish(cents=5)])

    @saga.step(lane="till")
    def settle(ctx: Context, o: Wish) -> None:
        pay(ctx, till)

    @settle.compensate(fidelity="exact")
    def take_back(ctx: Context, o: Wish) -> None:
        till.take_back(ctx.action_key)

    @saga.step(lane="notes", pivot=True, no_effect=True)
    def note(ctx: Context, o: Wish) -> None: ...

    @saga.effect_reader("till")
    def paid(keys: Iterable[str]) -> list[EffectReport]:
        return till.seen(keys)

    @saga.invariant
    def nobody_pays_twice(world: Any) -> Iterator[str]:
        yield from (
            f"paid {count} times"
            for who, count in till.paid.items()
            if count > 1 and who.startswith(world.job.id)
        )

    @saga.test_environment
    def empty_till() -> Iterator[None]:
        till.begin()
        with ExitStack() as stack:
            if world is not None:
                stack.enter_context(_as_context(world))
            yield

    return saga


def _as_context(world: Callable[[], Iterator[Any]]) -> Any:
    from contextlib import contextmanager

    return contextmanager(world)()


# --- look, then act ------------------------------------------------------------------------------------------------
def looks_first(ctx: Context, till: Till) -> None:
    if not till.has(ctx.key):
        till.pay(ctx.key)


def by_key(ctx: Context, till: Till) -> None:
    till.pay_once(ctx.key)


# --- a call to another machine inside a barrier --------------------------------------------------------------------
class Book:
    """A database of the step's own, with a barrier in it."""

    engine: Engine

    def opened(self) -> Iterator[None]:
        with TemporaryDirectory() as folder:
            self.engine = create_engine(f"sqlite:///{Path(folder) / 'book.sqlite'}")
            event.listen(
                self.engine, "connect", lambda raw, record: setattr(raw, "isolation_level", None)
            )
            event.listen(self.engine, "begin", _begin)
            metadata = MetaData()
            barrier_table(metadata)
            metadata.create_all(self.engine)
            try:
                yield
            finally:
                self.engine.dispose()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


book = Book()


def in_the_barrier(ctx: Context, till: Till) -> None:
    with book.engine.begin() as tx, barrier(tx, ctx) as first:
        if first:
            till.pay(ctx.key)
            first.keep(None)


look_then_act = saga_with("look_then_act", looks_first)
keyed = saga_with("keyed", by_key)
remote_in_barrier = saga_with("remote_in_barrier", in_the_barrier, book.opened)


# --- two jobs at once ----------------------------------------------------------------------------------------------
FULL = 1_000


@stand_in
class Shelf:
    """Apples. `sold`: keys, each once."""

    def begin(self) -> None:
        self.there, self.sold = FULL, set[str]()

    def put(self, key: str, there: int) -> None:
        if key not in self.sold:
            self.there = there
            self.sold.add(key)

    def take(self, key: str) -> None:
        self.put(key, self.there - 1)


def apples(name: str, *, careful: bool) -> Saga[Wish]:
    """Each job takes one apple, once. Careless is what reads, counts, and writes what it has counted."""
    shelf = Shelf()
    saga = Saga(name, version=1, input=Wish, examples=[Wish(cents=5)])

    @saga.step(lane="shelf", undo=None)
    def take(ctx: Context, o: Wish) -> None:
        if careful:
            shelf.take(ctx.key)
        else:
            there = shelf.there
            shelf.put(ctx.key, there - 1)

    @saga.invariant
    def no_apple_is_lost(world: Any) -> Iterator[str]:
        if shelf.there + len(shelf.sold) != FULL:
            yield f"{len(shelf.sold)} were sold, and {shelf.there} of {FULL} are there"

    @saga.test_environment
    def full_shelf() -> Iterator[None]:
        shelf.begin()
        yield

    return saga


lost_update = apples("lost_update", careful=False)
no_lost_update = apples("no_lost_update", careful=True)
