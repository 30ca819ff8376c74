"""Polls that come together share a statement and nothing else: each sees what was committed before it came, and none hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from surefoot.app.access import keys
from surefoot.app.errors import NotFound
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import open_engine
from surefoot.app.store.views import Polls, job_revision
from surefoot.app.store.views.revision import Revision
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import Caller, Shop
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import wait_until

JOBS = "/api/v1/jobs"
SOON_S = 15.0
BUSY = 6  # clients that poll all the while
TEN = 10


@pytest.fixture
def shop_url(ready_postgres: str) -> str:
    return ready_postgres


@contextmanager
def held_up(shop: Shop) -> Iterator[Any]:
    """Every poll's statement waits for this transaction, which may write meanwhile; it commits in the end."""
    with shop.db.begin() as tx:
        tx.execute(text("LOCK TABLE surefoot_api_keys IN ACCESS EXCLUSIVE MODE"))
        yield tx


def statements_waiting(shop: Shop) -> int:
    query = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'surefoot_api_keys'::regclass"
    )
    with shop.db.connect() as connection:
        return int(connection.execute(query).scalar_one())


def in_line(polls: Polls) -> int:
    assert polls._together is not None
    return len(polls._together._line)


class Crowd:
    """Polls of one `Polls`, in a thread each."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.polls, self.pool = (
            shop,
            Polls(shop.db, patience_s=SOON_S),
            ThreadPoolExecutor(TEN + 1),
        )

    def come(self, *questions: tuple[str, str | None, str | None]) -> list[Future[Revision]]:
        """All of them stand in line by now, behind whoever asks already."""
        found = [self.pool.submit(self.polls.look, *question) for question in questions]
        wait_until(lambda: in_line(self.polls) == len(questions), SOON_S)
        return found


# --- a later statement ---------------------------------------------------------------------------------------------
def test_given_polls_that_came_during_a_statement_when_it_is_back_then_a_later_one_answers_each_with_its_own(
    shop: Shop,
) -> None:
    crowd, jobs = Crowd(shop), [shop.order() for _ in range(4)]
    good, bad = (keys.create(shop.db, "default", "user", name)[0] for name in ("good", "bad"))
    before = job_revision(shop.db, jobs[0], shop.tenant)
    with held_up(shop) as tx:
        first = crowd.pool.submit(crowd.polls.look, jobs[0], shop.tenant, good)
        wait_until(lambda: statements_waiting(shop) == 1, SOON_S)
        others = crowd.come(
            (jobs[0], shop.tenant, good),
            (jobs[1], shop.tenant, bad),
            (jobs[2], None, good),
            (jobs[3], new_id(), good),  # of another tenant
            (new_id(), shop.tenant, good),
            (jobs[0], shop.tenant, good),
        )
        assert statements_waiting(shop) == 1
        tx.execute(text("UPDATE surefoot_jobs SET rev = rev + 1 WHERE id = :id"), {"id": jobs[0]})
        tx.execute(
            text("UPDATE surefoot_api_keys SET revoked_at = clock_timestamp() WHERE id = :id"),
            {"id": bad},
        )
    moved = job_revision(shop.db, jobs[0], shop.tenant, good)
    assert first.result(SOON_S).tag in (before.tag, moved.tag)
    assert moved.tag != before.tag
    assert [others[n].result(SOON_S) for n in (0, 5)] == [moved, moved]
    assert others[1].result(SOON_S) == job_revision(shop.db, jobs[1], shop.tenant, bad)
    assert not others[1].result().key_is_good
    assert others[2].result(SOON_S) == job_revision(shop.db, jobs[2], None, good)
    assert others[2].result().key_is_good
    for nobodys in (others[3], others[4]):
        with pytest.raises(NotFound):
            nobodys.result(SOON_S)


@pytest.fixture
def busy(shop: Shop, app: Flask) -> Iterator[Callable[[], int]]:
    """Clients that poll all the while: how many answers they have had, all of them 304."""
    stop, answers = threading.Event(), [0] * BUSY

    def poll(number: int) -> None:
        user, job_id = Caller(app, shop.key()), shop.order()
        tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
        while not stop.is_set():
            assert user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}).status_code == 304
            answers[number] += 1

    with ThreadPoolExecutor(BUSY) as pool:
        clients = [pool.submit(poll, number) for number in range(BUSY)]
        wait_until(lambda: min(answers) > 3, SOON_S)
        try:
            yield lambda: sum(answers)
        finally:
            stop.set()
        for client in clients:
            client.result(SOON_S)


def test_given_others_poll_all_the_while_when_a_job_moves_or_a_key_is_revoked_then_the_very_next_poll_says_so(
    shop: Shop, app: Flask, busy: Callable[[], int]
) -> None:
    began, job_id = busy(), shop.order()
    for _ in range(10):
        key_id, key = keys.create(shop.db, "default", "user", "short")
        user = Caller(app, key)
        tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
        assert user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}).status_code == 304
        with shop.db.begin() as tx:
            tx.execute(
                text("UPDATE surefoot_jobs SET rev = rev + 1 WHERE id = :id"), {"id": job_id}
            )
        moved = user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag})
        assert (moved.status_code, moved.headers["ETag"] != tag) == (200, True)
        keys.revoke(shop.db, key_id)
        assert (
            user.get(f"{JOBS}/{job_id}", **{"If-None-Match": moved.headers["ETag"]}).status_code
            == 401
        )
    assert busy() > began


# --- trouble ---------------------------------------------------------------------------------------------------------
def test_given_ten_polls_that_wait_when_the_store_is_stopped_then_each_is_told_to_come_again_and_none_hangs(
    own_postgres: PostgresServer,
) -> None:
    shop = Shop(own_postgres.url(own_postgres.create_store()))
    try:
        app, job_id, key = shop.web(), shop.order(), shop.key()
        tag = Caller(app, key).get(f"{JOBS}/{job_id}").headers["ETag"]

        def poll() -> Any:
            return Caller(app, key).get(f"{JOBS}/{job_id}", **{"If-None-Match": tag})

        assert poll().status_code == 304
        polls = app.extensions[EXTENSION].polls
        polls._together._patience_s = SOON_S
        holder = shop.db.connect()
        holder.execute(text("LOCK TABLE surefoot_api_keys IN ACCESS EXCLUSIVE MODE"))
        with ThreadPoolExecutor(TEN) as pool:
            answers = [pool.submit(poll) for _ in range(TEN)]
            wait_until(lambda: in_line(polls) == TEN - 1, SOON_S)
            began = time.monotonic()
            own_postgres.halt()
            told = [answer.result(SOON_S) for answer in answers]
        assert [answer.status_code for answer in told] == [503] * TEN
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in told)
        assert time.monotonic() - began < SOON_S
        holder.invalidate()
        holder.close()
        own_postgres.again()
        wait_until(lambda: poll().status_code == 304, SOON_S)
    finally:
        shop.close()


def test_given_the_kept_connection_is_ended_when_polled_then_answered_all_the_same(
    shop: Shop, app: Flask
) -> None:
    user, job_id = Caller(app, shop.key()), shop.order()
    tag = user.get(f"{JOBS}/{job_id}").headers["ETag"]
    ended = text(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
        "WHERE query LIKE '%key_is_good%' AND pid <> pg_backend_pid() AND datname = current_database()"
    )
    for _ in range(2):
        assert user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}).status_code == 304
        with shop.db.begin() as tx:
            assert tx.execute(ended).scalar_one() == 1
        assert user.get(f"{JOBS}/{job_id}", **{"If-None-Match": tag}).status_code == 304


def test_given_polls_when_the_engine_is_disposed_of_then_no_connection_is_left_and_the_next_poll_opens_one(
    ready_postgres: str,
) -> None:
    shop = Shop(ready_postgres)
    db = open_engine(ready_postgres)
    try:
        polls, job_id = Polls(db), shop.order()
        for _ in range(2):
            polls.look(job_id, shop.tenant)
            assert db.pool.checkedout() == 1  # type: ignore[attr-defined]
            db.dispose()
            assert polls._kept._kept is None
        assert db.pool.checkedout() == 0  # type: ignore[attr-defined]
    finally:
        db.dispose()
        shop.close()
