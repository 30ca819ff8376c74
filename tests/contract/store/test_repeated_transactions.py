"""A transaction that meets a real lock or a real deadlock is repeated whole, within bounds; nobody else sees it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, insert, select, update

from surefoot.app.errors import StoreUnavailable
from surefoot.app.store.session import TRANSACTION_TRIES, open_engine, reading, transaction
from surefoot.app.store.tables import faults_fired
from tests.support.stores import open_new_store
from tests.support.waiting import wait_until
from tests.support.wire import Wire

c = faults_fired.c  # a table of a name and a number


@pytest.fixture
def db(ready_url: str) -> Iterator[Engine]:
    engine = open_new_store(ready_url)
    transaction(
        engine,
        lambda tx: tx.execute(
            insert(faults_fired), [{"fault": name, "times": 0} for name in ("a", "b")]
        ),
    )
    yield engine
    engine.dispose()


def add(tx: Connection, name: str) -> None:
    tx.execute(update(faults_fired).where(c.fault == name).values(times=c.times + 1))


def sums(db: Engine) -> dict[str, int]:
    with reading(db) as connection:
        return {row.fault: row.times for row in connection.execute(select(faults_fired))}


def test_given_another_writer_holds_the_lock_when_a_transaction_comes_then_it_waits_and_commits(
    ready_url: str, db: Engine
) -> None:
    other = open_engine(ready_url)  # another process's, as far as our own turns are concerned
    with ThreadPoolExecutor(1) as pool:
        with other.begin() as holder:
            add(holder, "a")
            waiting = pool.submit(transaction, db, lambda tx: add(tx, "a"))
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
        waiting.result(timeout=10)
    assert sums(db) == {"a": 2, "b": 0}
    other.dispose()


def test_given_a_lock_that_is_never_given_up_then_the_wait_ends_and_the_store_is_said_to_be_busy(
    ready_url: str, db: Engine
) -> None:
    hasty = open_engine(ready_url, patience_s=0.3)
    with db.begin() as holder:
        add(holder, "a")
        with pytest.raises(StoreUnavailable):
            transaction(hasty, lambda tx: add(tx, "a"))
    assert sums(db) == {"a": 1, "b": 0}
    hasty.dispose()


def test_given_two_transactions_that_lock_two_rows_crosswise_when_run_then_both_commit(
    db: Engine,
) -> None:
    """On PostgreSQL one of them is ended by the deadlock detector and repeated; SQLite's writers take turns."""
    runs: list[str] = []
    both_hold_one = threading.Barrier(2)

    def cross(first: str, second: str) -> None:
        def work(tx: Connection) -> None:
            runs.append(first)
            add(tx, first)
            if db.dialect.name == "postgresql" and len(runs) <= 2:
                both_hold_one.wait(10)
            add(tx, second)

        transaction(db, work)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(cross, "a", "b"), pool.submit(cross, "b", "a")]:
            future.result(timeout=30)
    assert sums(db) == {"a": 2, "b": 2}
    assert len(runs) == (3 if db.dialect.name == "postgresql" else 2)


def test_given_a_transaction_that_always_conflicts_then_it_is_tried_a_few_times_and_leaves_nothing(
    db: Engine,
) -> None:
    runs: list[int] = []

    def work(tx: Connection) -> None:
        runs.append(1)
        add(tx, "a")

    wire = Wire(db)
    wire.cut(*range(1, 100), when="conflict")
    with wire.open(), pytest.raises(StoreUnavailable):
        transaction(db, work)
    assert 2 <= len(runs) <= TRANSACTION_TRIES
    assert sums(db) == {"a": 0, "b": 0}


def test_given_many_writers_at_once_then_every_write_is_there(db: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(transaction, db, lambda tx: add(tx, "a")) for _ in range(80)]
        wait_until(lambda: all(future.done() for future in futures), 30)
        for future in futures:
            future.result()
    assert sums(db)["a"] == 80
