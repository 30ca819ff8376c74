"""Statements that go past SQLAlchemy's connections answer as those that go through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound

from surefoot.app.simulation.run import quietly
from surefoot.app.simulation.schedule import Outcome, run
from surefoot.app.simulation.store import SqliteStore
from surefoot.app.store.session import asking, execute_single, insert_or, reading, transaction
from surefoot.app.store.tables import api_keys, history, jobs, tenants
from surefoot.app.store.types import one_of

SEEDS = range(16)  # each kind of schedule once
FIRST, SECOND, THIRD = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
NAMES = {FIRST: "one", SECOND: "two", THIRD: "three"}
KEY = {"id": FIRST, "tenant_id": FIRST, "name": "k", "role": "user", "prefix": "p", "hash": "h"}
Q = Callable[[Connection], Any]


@pytest.fixture(scope="module")
def plain_store() -> SqliteStore:
    return SqliteStore(direct=False)


@pytest.fixture(scope="module")
def direct_store() -> SqliteStore:
    return SqliteStore()


@pytest.fixture
def plain(plain_store: SqliteStore) -> Engine:
    plain_store.begin_again()
    return _with_tenants(plain_store.engine)


@pytest.fixture
def direct(direct_store: SqliteStore) -> Engine:
    direct_store.begin_again()
    return _with_tenants(direct_store.engine)


def _with_tenants(db: Engine) -> Engine:
    rows = [{"id": id_, "name": name} for id_, name in NAMES.items()]
    transaction(db, lambda tx: tx.execute(insert(tenants), rows))
    return db


def _story(outcome: Outcome, store: SqliteStore) -> dict[str, Any]:
    lines = store.raw.execute(
        "SELECT job_id, seq, event, step FROM surefoot_history ORDER BY job_id, seq"
    )
    told = {name: getattr(outcome, name) for name in ("trace", "problems", "ends", "points")}
    return told | {"history": lines.fetchall()}


@pytest.mark.parametrize("seed", SEEDS)
def test_given_one_seed_when_run_directly_and_by_sqlalchemy_then_all_that_happens_is_the_same(
    seed: int, plain_store: SqliteStore, direct_store: SqliteStore
) -> None:
    by_sqlalchemy = quietly(run, seed, length=20, store=plain_store)
    directly = quietly(run, seed, length=20, store=direct_store)
    assert by_sqlalchemy.actions
    assert _story(directly, direct_store) == _story(by_sqlalchemy, plain_store)


t = tenants.c
_RENAMED = update(tenants).where(t.id == SECOND).values(name="second")
QUESTIONS: dict[str, Q] = {
    "rows": lambda c: c.execute(select(tenants).order_by(t.id)).all(),
    "a row's names": lambda c: [
        (row.id, row.name, row.created_at) for row in c.execute(select(tenants).order_by(t.id))
    ],
    "mappings": lambda c: [
        dict(row) for row in c.execute(select(t.id, t.name).order_by(t.id)).mappings()
    ],
    "a list of two": lambda c: c.scalars(select(t.name).where(t.id.in_([FIRST, THIRD]))).all(),
    "a list of one": lambda c: c.scalars(select(t.name).where(t.id.in_([FIRST]))).all(),
    "a list of none": lambda c: c.scalars(select(t.name).where(t.id.in_([]))).all(),
    "ids as one parameter": lambda c: sorted(
        c.scalars(select(t.name).where(one_of(t.id, "p_ids")), {"p_ids": [FIRST, SECOND]})
    ),
    "one that is not there": lambda c: c.execute(select(t.id).where(t.name == "x")).one_or_none(),
    "the first": lambda c: c.execute(select(t.name).order_by(t.id)).first(),
    "a number": lambda c: c.scalar(select(func.count()).select_from(tenants)),
    "how many were changed": lambda c: c.execute(_RENAMED).rowcount,
    "what was changed": lambda c: c.execute(_RENAMED.returning(t.name)).scalar_one(),
    "how many were not": lambda c: c.execute(_RENAMED.where(t.name == "x")).rowcount,
    "an insert that finds its row": lambda c: (
        c.execute(
            insert_or(c, tenants).values(id=FIRST, name="one").on_conflict_do_nothing()
        ).rowcount
    ),
    "a default of Python": lambda c: (
        c.execute(insert(api_keys), KEY).rowcount,
        c.execute(select(api_keys.c.platform)).scalar_one(),
    ),
}


@pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_given_a_statement_when_run_directly_then_the_answer_is_sqlalchemys(
    asked: Q, plain: Engine, direct: Engine
) -> None:
    expected = transaction(plain, asked)
    for _ in range(2):  # a statement that is not known yet, and one that is
        direct_answer = transaction(direct, lambda tx: _undone(tx, asked))
        assert direct_answer == expected


def _undone(tx: Connection, asked: Q) -> Any:
    """The answer, without what it has changed."""
    answer = asked(tx)
    tx.execute(api_keys.delete())
    tx.execute(update(tenants).where(t.id == SECOND).values(name="two"))
    return answer


def _names(db: Engine) -> list[str]:
    with asking(db) as connection:
        return sorted(connection.scalars(select(t.name)))


def test_given_an_error_when_a_transaction_ends_then_nothing_of_it_is_kept(direct: Engine) -> None:
    def work(tx: Connection) -> None:
        tx.execute(_RENAMED)
        raise LookupError

    with pytest.raises(LookupError):
        transaction(direct, work)
    assert "second" not in _names(direct)


def test_given_a_key_that_is_taken_when_inserted_then_it_is_sqlalchemys_error(
    direct: Engine,
) -> None:
    again = insert(tenants).values(id=FIRST, name="another")
    for _ in range(2):
        with pytest.raises(IntegrityError):
            transaction(direct, lambda tx: tx.execute(again))
    assert _names(direct) == sorted(NAMES.values())


def test_given_a_single_statement_when_it_has_run_then_it_is_kept(direct: Engine) -> None:
    assert execute_single(direct, lambda tx: tx.execute(_RENAMED).rowcount) == 1
    assert "second" in _names(direct)


def test_given_writes_of_a_connection_when_it_is_left_without_commit_then_they_are_gone(
    direct: Engine,
) -> None:
    with direct.connect() as connection:
        connection.execute(_RENAMED)
    assert "second" not in _names(direct)


def test_given_not_exactly_one_row_when_one_is_asked_for_then_it_says_so(direct: Engine) -> None:
    with reading(direct) as connection:
        for _ in range(2):
            with pytest.raises(MultipleResultsFound):
                connection.execute(select(tenants)).one()
            with pytest.raises(NoResultFound):
                connection.execute(select(jobs)).one()
            assert connection.execute(select(history)).first() is None
