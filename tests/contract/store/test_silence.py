"""A link to PostgreSQL that takes what we say and brings no answer is noticed by ourselves; TCP would never tell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url, text

from surefoot.app.errors import StoreUnavailable
from surefoot.app.store import response_timeout
from surefoot.app.store.session import asking, execute_single, open_engine, reading, transaction
from tests.support.proxy import BOTH, Proxy, Way

SILENCE_S = 1.0


@pytest.fixture
def link(fresh_postgres: str) -> Iterator[Proxy]:
    proxy = Proxy(make_url(fresh_postgres).port or 0)
    yield proxy
    proxy.close()


@pytest.fixture
def db(link: Proxy, fresh_postgres: str) -> Iterator[Engine]:
    url = make_url(fresh_postgres).set(port=link.port).render_as_string(hide_password=False)
    engine = open_engine(url, silence_s=SILENCE_S, connect_timeout_s=2)
    transaction(engine, lambda tx: tx.execute(text("CREATE TABLE seen (n integer)")))
    yield engine
    link.heal()
    engine.dispose()


@pytest.mark.parametrize("ways", [("requests",), ("answers",), BOTH], ids="+".join)
def test_given_a_link_that_loses_something_when_asked_then_the_store_is_unavailable_and_back_when_the_link_is(
    link: Proxy, db: Engine, ways: tuple[Way, ...]
) -> None:
    link.lose(*ways)
    with pytest.raises(StoreUnavailable):
        execute_single(db, lambda tx: tx.execute(text("INSERT INTO seen VALUES (1)")))
    with pytest.raises(StoreUnavailable), asking(db) as connection:
        connection.execute(text("SELECT 1"))
    link.heal()
    with reading(db) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    transaction(db, lambda tx: tx.execute(text("INSERT INTO seen VALUES (2)")))


def test_given_an_answer_that_comes_late_when_the_next_question_is_asked_then_it_gets_its_own(
    link: Proxy, db: Engine
) -> None:
    link.lose("answers")
    with pytest.raises(StoreUnavailable):
        execute_single(db, lambda tx: tx.execute(text("SELECT 'old'")))
    link.heal()
    with asking(db) as connection:
        assert connection.execute(text("SELECT 'new'")).scalar_one() == "new"


def test_given_a_statement_that_takes_too_long_then_the_server_ends_it_first_and_the_connection_lives(
    fresh_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_timeout, "EXPIRES_BEFORE_S", 3.0)
    db = open_engine(fresh_postgres, silence_s=5.0)

    def backend() -> int:
        with asking(db) as connection:
            return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

    before = backend()
    with pytest.raises(StoreUnavailable), asking(db) as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert backend() == before
    db.dispose()


def test_given_a_process_on_sqlite_when_its_store_is_open_then_it_has_not_loaded_the_driver() -> (
    None
):
    asked = (
        "import sys; from surefoot.app.store.session import open_engine;"
        "from surefoot.app.store.views.polls import Polls;"
        "Polls(open_engine('sqlite:///:memory:')); print('psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
