"""A thousand orders and wide forks of batchable steps, with a fault every three seconds for five minutes: all jobs end, and
nothing is forgotten or done twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from surefoot.app.store.invariants import violations
from surefoot.app.store.session import reading
from surefoot.app.store.tables import dead_letters, history, jobs
from tests.support import batchable_saga
from tests.support.orders import ORDER, Shop
from tests.support.postgres_server import PostgresServer
from tests.support.running import Up
from tests.support.waiting import wait_until

ORDERS = int(os.environ.get("SOAK_ORDERS", "1000"))
LASTS_S = float(os.environ.get("SOAK_SECONDS", "300"))
EVERY_S = 3.0
LAND_S = 800.0
CARDS = ("tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_lost")
FORK_EVERY = 4  # so many orders for one job of batchable steps
MOODS = ("calm", "slow", "moody", "closed")
QUICK = {
    "SUREFOOT_LEASE_SECONDS": "2",
    "SUREFOOT_HEARTBEAT_SECONDS": "0.5",
    "SUREFOOT_SWEEP_SECONDS": "0.3",
}


@pytest.fixture
def prices_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The database of the service that the batchable steps call."""
    name = postgres_server.create_database()
    url = postgres_server.url(name)
    store = create_engine(url)
    batchable_saga.metadata.create_all(store)
    store.dispose()
    yield url
    postgres_server.drop_database(name)


@pytest.fixture
def shop(
    tmp_path: Path, redis_executable: str, fresh_postgres: str, prices_url: str
) -> Iterator[Shop]:
    """Everything on PostgreSQL and Redis, with four workers instead of two."""
    told = {
        "DATABASE_URL": fresh_postgres,
        batchable_saga.STORE: prices_url,
        "SUREFOOT_SAGAS": f"surefoot.workers.sagas.order.saga,{batchable_saga.__name__}",
    }
    up = Up(tmp_path / "home", **told, **QUICK)
    up.spares = 60  # for what is killed
    try:
        up.start()
        shop = Shop(up)
        with more_workers(up, 2):
            yield shop
        shop.close()
    finally:
        up.close()


@contextmanager
def more_workers(up: Up, count: int) -> Iterator[None]:
    env = {**up.env, **up.run.env}
    started = []
    with (up.home / "log" / "more-workers.log").open("ab") as log:
        for _ in range(count):
            words = [sys.executable, "-m", "surefoot.app.cli", "worker"]
            started.append(
                subprocess.Popen(words, env=env, stdout=log, stderr=log, start_new_session=True)
            )
    try:
        yield
    finally:
        for process in started:
            for child in (
                psutil.Process(process.pid).children(recursive=True)
                if process.poll() is None
                else []
            ):
                with suppress(psutil.Error):
                    child.kill()
            process.kill()
            process.wait()


class Trouble:
    """Whatever may happen to a part, by name; what was done is counted."""

    def __init__(self, shop: Shop, halt: threading.Event) -> None:
        self.shop, self._halt, self._chance = shop, halt, random.Random(7)
        self.done: Counter[str] = Counter()

    def one(self) -> None:
        kinds: list[Callable[[], object]] = [
            self.kill_a_worker_process,
            self.freeze_a_worker,
            self.kill_the_relay,
            self.kill_the_web_server,
            self.kill_the_bank,
            self.flush_the_broker,
            self.freeze_the_broker,
            self.kill_the_broker,
            self.cut_the_store,
        ]
        kind = self._chance.choice(kinds)
        with suppress(psutil.Error, redis.RedisError, SQLAlchemyError, IndexError):
            kind()
            self.done[kind.__name__] += 1

    def kill_a_worker_process(self) -> None:
        self._chance.choice(self.shop.workers()).kill()

    def freeze_a_worker(self) -> None:
        main = self._chance.choice(
            [one for one in self.shop.workers() if "prefork" not in one.name()]
        )
        frozen = [main, *main.children(recursive=True)]
        for process in frozen:
            with suppress(psutil.Error):
                process.suspend()
        self._halt.wait(2.5)  # past its lease
        for process in frozen:
            with suppress(psutil.Error):
                process.resume()

    def kill_the_relay(self) -> None:
        self._kill("surefoot.workers.relay")

    def kill_the_web_server(self) -> None:
        self._kill("gunicorn")

    def kill_the_bank(self) -> None:
        self._kill("bank")

    def flush_the_broker(self) -> None:
        self.shop.broker.flushall()

    def freeze_the_broker(self) -> None:
        broker = self._find("redis-server")[0]
        broker.suspend()
        self._halt.wait(2.0)
        broker.resume()

    def kill_the_broker(self) -> None:
        self._kill("redis-server")

    def cut_the_store(self) -> None:
        with self.shop.db.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(text(others))

    def _kill(self, word: str) -> None:
        self._chance.choice(self._find(word)).kill()

    def _find(self, word: str) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(self.shop.up.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if word in " ".join(process.cmdline()):
                    found.append(process)
        return found


def submit_patiently(
    shop: Shop, saga: str, number: int, what: dict[str, Any], over: threading.Event
) -> str:
    """As a careful client does: with a key of its own, again and again until there is an answer."""
    while not over.is_set():
        with suppress(httpx.TransportError):
            answer = shop.http.post(
                "/jobs",
                json={"saga": saga, "input": what},
                headers={"Idempotency-Key": f"soak-{saga}-{number}"},
            )
            if answer.status_code in (200, 202):
                return str(answer.json()["id"])
            assert answer.status_code in (429, 503), answer.text
        over.wait(0.5)
    raise AssertionError(f"{saga} {number} was never accepted")


def redrive_what_asks_a_person(shop: Shop) -> bool:
    """True when every job has ended."""
    d = dead_letters.c
    with reading(shop.db) as connection:
        asking = list(
            connection.scalars(select(d.job_id).where(d.state == "open", d.blocking).distinct())
        )
    for job in asking:
        with suppress(httpx.TransportError):
            shop.http.post(f"/jobs/{job}/redrive", json={"reason": "what failed it is over"})
    return set(shop.states()) <= {"completed", "failed", "cancelled"}


def exhausted_without_one_letter(shop: Shop) -> list[tuple[str, str, str, int]]:
    """Operations that were given up, not refused, whose letters are not exactly as many as the times they were given up."""
    h, d = history.c, dead_letters.c
    with reading(shop.db) as connection:
        failed = connection.execute(
            select(h.job_id, h.step, h.kind, h.detail).where(h.event == "failed")
        ).all()
        letters = connection.execute(
            select(d.job_id, d.step, d.kind, func.count()).group_by(d.job_id, d.step, d.kind)
        ).all()
    given_up = Counter(
        (row.job_id, row.step, row.kind)
        for row in failed
        if (row.detail or {}).get("why") != "rejected"
    )
    told = Counter({(row[0], row[1], row[2]): row[3] for row in letters})
    return [
        (*key, told[key]) for key in given_up.keys() | told.keys() if given_up[key] != told[key]
    ]


def ends_of_each(shop: Shop) -> dict[str, tuple[str, str]]:
    """{job's id: (saga, state)}."""
    with reading(shop.db) as connection:
        return {
            row.id: (row.saga, row.state)
            for row in connection.execute(select(jobs.c.id, jobs.c.saga, jobs.c.state))
        }


@pytest.mark.long("first")
@pytest.mark.timeout(int(LASTS_S + LAND_S + 300))
def test_given_a_thousand_orders_and_a_fault_every_three_seconds_for_five_minutes_then_all_land_and_nothing_is_forgotten(
    shop: Shop, prices_url: str
) -> None:
    halt, over = threading.Event(), threading.Event()
    trouble = Trouble(shop, halt)
    forks: dict[str, str] = {}
    began = time.monotonic()

    def make_trouble() -> None:
        while not halt.wait(EVERY_S):
            trouble.one()

    def customer(number: int) -> str:
        over.wait(
            max(0.0, began + LASTS_S * 0.9 * number / ORDERS - time.monotonic())
        )  # they come evenly
        if number % FORK_EVERY == 0:
            mood = MOODS[number // FORK_EVERY % len(MOODS)]
            forks[submit_patiently(shop, "prices", number, {"mood": mood}, over)] = mood
        return submit_patiently(
            shop, "order", number, {**ORDER, "card": CARDS[number % len(CARDS)]}, over
        )

    maker = threading.Thread(target=make_trouble, daemon=True)
    clock = threading.Timer(LASTS_S, halt.set)
    giving_up = threading.Timer(LASTS_S + LAND_S, over.set)
    for thread in (maker, clock, giving_up):
        thread.daemon = True
        thread.start()
    try:
        with ThreadPoolExecutor(8) as customers:
            ids = list(customers.map(customer, range(ORDERS)))
        halt.wait()
        maker.join()
        wait_until(
            lambda: redrive_what_asks_a_person(shop), LAND_S, every_s=2.0, what="all jobs to land"
        )
    finally:
        halt.set()
        over.set()
        giving_up.cancel()
        clock.cancel()
    ends = ends_of_each(shop)
    told = Counter((saga, state) for saga, state in ends.values())
    print(
        f"\n{ORDERS} orders, {len(forks)} forks, faults: {dict(trouble.done)}, ends: {dict(told)}"
    )
    assert ends.keys() == {*ids, *forks}
    assert len(set(ids)) == ORDERS
    assert len(trouble.done) >= 6, trouble.done
    assert exhausted_without_one_letter(shop) == []
    assert violations(shop.db, slack_s=10.0, bound_s=300.0) == {}
    books = shop.audit()
    assert books["stock"]["pear"]["reserved"] == 0
    assert (
        books["stock"]["pear"]["sold"]
        == told["order", "completed"]
        == sum(order["charges"] - order["refunds"] for order in books["orders"])
    )
    assert {job: ends[job][1] for job in forks} == {
        job: "failed" if mood == "closed" else "completed" for job, mood in forks.items()
    }
    effects = batchable_saga.rows_of_each_job(prices_url)
    assert effects == {job: batchable_saga.STEPS for job in forks if ends[job][1] == "completed"}, (
        "each step took effect once, or was undone"
    )
