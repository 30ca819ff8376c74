"""Orders by the dozen against a running `surefoot up`, and the questions a sceptic asks afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import httpx
import psutil
import redis
from sqlalchemy import Engine, func, select

from surefoot.app.delivery.broker import redis_url
from surefoot.app.store.invariants import violations
from surefoot.app.store.session import open_engine, reading
from surefoot.app.store.tables import jobs, operations
from tests.support.running import Up
from tests.support.waiting import wait_until

ORDER: dict[str, Any] = {
    "customer": "Ada",
    "email": "ada@example.com",
    "sku": "pear",
    "quantity": 1,
    "amount_cents": 900,
    "card": "tok_ok",
}
ENDED = ("completed", "failed", "cancelled")
KEPT_S = 1.0  # the web server closes an idle connection after 2 s: a request on its way then would meet a reset


class Shop:
    """A customer with a key, and an auditor with the databases."""

    def __init__(self, up: Up, saga: str = "order") -> None:
        self.up, self.saga = up, saga
        self.http = httpx.Client(
            base_url=f"{up.run.web_url}/api/v1",
            headers={"Authorization": f"Bearer {up.run.env['SUREFOOT_API_KEY']}"},
            timeout=15,
            limits=httpx.Limits(max_connections=20, keepalive_expiry=KEPT_S),
        )
        self.db: Engine = open_engine(up.run.env["SUREFOOT_DATABASE_URL"])

    @cached_property
    def broker(self) -> redis.Redis:
        """The broker of a `surefoot up` that has a Redis."""
        return redis.Redis.from_url(redis_url(self.up.run.env["SUREFOOT_BROKER_URL"]))

    def close(self) -> None:
        self.http.close()
        self.db.dispose()
        if "broker" in self.__dict__:
            self.broker.close()

    def post(
        self, saga: str | None = None, key: str | None = None, **changes: Any
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(
            "/jobs",
            json={"saga": saga or self.saga, "input": {**ORDER, **changes}},
            headers=headers,
        )

    def order(self, saga: str | None = None, **changes: Any) -> str:
        answer = self.post(saga, **changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def orders(self, count: int, cards: Sequence[str] = ("tok_ok",)) -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda n: self.order(card=cards[n % len(cards)]), range(count)))

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/jobs/{job_id}").json())

    def states(self) -> Counter[str]:
        with reading(self.db) as connection:
            rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
            return Counter({row[0]: row[1] for row in rows})

    def land(self, timeout_s: float) -> Counter[str]:
        """Wait until every job has ended."""
        wait_until(
            lambda: set(self.states()) <= set(ENDED),
            timeout_s,
            every_s=0.5,
            what=f"all jobs to land: {self.states()}",
        )
        return self.states()

    def step(self, job_id: str, step: str) -> str:
        with reading(self.db) as connection:
            o = operations.c
            return str(
                connection.execute(
                    select(o.state).where(o.job_id == job_id, o.step == step, o.kind == "action")
                ).scalar_one()
            )

    def operations(self) -> list[Any]:
        with reading(self.db) as connection:
            return list(connection.execute(select(operations)))

    def audit(self) -> dict[str, Any]:
        """The books, and every invariant of the engine: nothing may be wrong."""
        assert violations(self.db, slack_s=10.0, bound_s=300.0) == {}
        books: dict[str, Any] = self.up.json("ledger", "--settled")
        assert books["consistent"], books["violations"]
        for order in books["orders"]:
            assert order["charges"] <= 1, order
            assert order["refunds"] <= 1, order
            assert order["receipts"] <= 1, order
        return books

    def workers(self) -> list[psutil.Process]:
        """Main processes of the workers, and their children: any of them may be killed."""
        found = []
        for process in psutil.Process(self.up.process.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if {"surefoot.workers.celery_app", "worker"} <= set(words):
                found.append(process)
        return found
