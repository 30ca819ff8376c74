"""Sessions on both databases: a row each, which ends in every way it should, and is hardly ever
written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, select

from surefoot.app.access import keys, sessions
from surefoot.app.access.sessions import Limits, Session
from surefoot.app.store.session import reading
from surefoot.app.store.tables import sessions as table
from tests.support.plans import heard, plan_of, served, sorts
from tests.support.stores import open_new_store
from tests.support.world import let_pass

LIMITS = Limits(idle_s=600, most_s=3600)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def db(ready_url: str) -> Iterator[Engine]:
    engine = open_new_store(ready_url)
    yield engine
    engine.dispose()


@pytest.fixture
def key_id(db: Engine) -> str:
    return keys.create(db, name="ada")[0]


def begin(db: Engine, key_id: str) -> str:
    return sessions.begin(db, key_id, address="192.0.2.77", agent=AGENT)


def found(db: Engine, token: str) -> Session | None:
    return sessions.find(db, token, LIMITS)


def rows(db: Engine) -> list[Any]:
    with reading(db) as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def test_given_a_session_when_found_then_neither_its_token_nor_the_whole_address_is_kept(
    db: Engine, key_id: str
) -> None:
    token = begin(db, key_id)
    session = found(db, token)
    assert session is not None
    assert (session.principal.key_id, session.principal.name) == (key_id, "ada")
    assert token not in str(rows(db))
    (listed,) = sessions.list_sessions(db, LIMITS, key_id)
    assert (listed["address"], listed["agent"]) == ("192.0.2.0/24", AGENT)
    assert found(db, token + "x") is None


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        (None, ""),
        ("unix:", ""),
    ],
)
def test_given_an_address_then_its_network_is_kept(address: str | None, kept: str) -> None:
    assert sessions.network(address) == kept


def test_given_a_session_that_ended_when_looked_for_then_nobody(db: Engine, key_id: str) -> None:
    ends = {
        "sign-out": lambda token: sessions.end_by_token(db, token, "signed out"),
        "by its id": lambda token: sessions.end(
            db, "ada", key_id=key_id, session_id=rows(db)[-1].id
        ),
        "everywhere": lambda token: sessions.end(db, "ada", key_id=key_id),
        "by an admin": lambda token: keys.sign_out(db, key_id, "cli:root"),
        "its key is revoked": lambda token: keys.revoke(db, key_id),
    }
    for name, end in ends.items():
        other, token = begin(db, keys.create(db)[0]), begin(db, key_id)
        assert found(db, token) is not None, name
        end(token)
        assert found(db, token) is None, name
        end(token)
        assert found(db, other) is not None, name
    assert all(row.ended_at is not None for row in rows(db) if row.key_id == key_id)


def test_given_somebody_elses_session_when_ended_then_it_goes_on(db: Engine, key_id: str) -> None:
    token = begin(db, key_id)
    other_id, _ = keys.create(db)
    assert sessions.end(db, "eve", key_id=other_id, session_id=rows(db)[0].id) == 0
    assert sessions.end(db, "eve", key_id=other_id, session_id="no id") == 0
    assert found(db, token) is not None


def test_given_a_session_when_it_is_used_then_it_is_written_once_a_minute_and_goes_on(
    db: Engine, key_id: str
) -> None:
    token = begin(db, key_id)
    for minutes in range(20):
        session = found(db, token)
        assert session is not None, minutes
        assert session.noted == (minutes == 0)
        sessions.note_use(db, session, LIMITS)
        with heard(db) as sent:
            again = found(db, token)
            assert again is not None
            sessions.note_use(db, again, LIMITS)
            sessions.note_use(
                db, session, LIMITS
            )  # another request that read the same moment before
        assert len([one for one in sent if "SELECT" in one[0] and "sessions" in one[0]]) == 1
        let_pass(db, 61)
    assert len(rows(db)) == 1


def test_given_a_session_when_unused_or_old_then_it_has_ended_by_the_store_s_clock(
    db: Engine, key_id: str
) -> None:
    token = begin(db, key_id)
    let_pass(db, LIMITS.idle_s - 5)
    session = found(db, token)
    assert session is not None
    sessions.note_use(db, session, LIMITS)
    let_pass(db, LIMITS.idle_s - 5)
    assert found(db, token) is not None
    let_pass(db, 10)
    assert found(db, token) is None
    assert sessions.list_sessions(db, LIMITS) == []
    used = begin(db, key_id)
    for _ in range(7):
        session = found(db, used)
        assert session is not None
        sessions.note_use(db, session, LIMITS)
        let_pass(db, LIMITS.most_s / 7)
    assert found(db, used) is None


@pytest.mark.parametrize("whose", ["one key's", "everybody's"])
def test_given_sessions_when_listed_then_in_the_order_of_an_index(
    db: Engine, key_id: str, whose: str
) -> None:
    with heard(db) as sent:
        sessions.list_sessions(db, LIMITS, key_id if whose == "one key's" else None)
    (asked,) = [one for one in sent if "sessions" in one[0]]
    with db.connect() as connection, connection.begin():
        plan = plan_of(
            connection, asked, without=("seqscan", "bitmapscan", "hashjoin", "mergejoin")
        )
    assert served(
        plan,
        "ix_sessions_open_key" if whose == "one key's" else "ix_sessions_open",
    ), plan
    assert not sorts(plan), plan
