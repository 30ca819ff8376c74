"""How the client submits a job of each kind, and how it learns that jobs have ended."""

from __future__ import annotations

import time
from typing import Any, Protocol

import redis
from celery import Celery
from sqlalchemy import func, select

from surefoot.app.access import tenants
from surefoot.app.bench.tally import Tallies
from surefoot.app.config import settings
from surefoot.app.delivery.broker import probe, redis_url
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.rules.states import JobState
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.session import open_engine, reading
from surefoot.app.store.tables import jobs
from surefoot.workers.bench import by_hand, plain, sagas
from surefoot.workers.bench.loop import QUEUE
from surefoot.workers.bench.told import broker_url, events, store_url, tally_folder


class Driver(Protocol):
    """One kind of job."""

    def submit(self) -> None:
        """Submit one, as a web server would: it is accepted when this returns."""

    def done(self) -> int:
        """How many of those submitted since `forget` have ended."""

    def forget(self) -> None:
        """Begin to count anew."""

    def rescue(self) -> int:
        """Send again what was lost; how many messages."""


class OfEngine:
    """Jobs of one saga, submitted as the web server submits them, without HTTP."""

    def __init__(self, saga: str) -> None:
        known = sagas.ALL
        self._saga = f"bench_{saga}"
        self._registry = Registry(known)
        self._db = open_engine(store_url())
        register(self._db, known)
        self._tenant = tenants.ensure(self._db)
        app = producer_app(broker_url(), "relay")
        app.conf.task_send_sent_event = events()
        self._publisher = Publisher(app, pause_s=0.5)
        self._publisher.warm()
        self._ids: list[str] = []

    def submit(self) -> None:
        request = Submission(tenant_id=self._tenant, saga=self._saga, input={}, actor="bench")
        accepted = submit(self._db, settings(), self._registry, request)
        publish_plan(self._db, self._publisher, accepted.plan)
        self._ids.append(accepted.job_id)

    def done(self) -> int:
        with reading(self._db) as connection:
            found = (
                select(func.count())
                .select_from(jobs)
                .where(jobs.c.id >= min(self._ids), jobs.c.state == JobState.COMPLETED)
            )
            return int(connection.execute(found).scalar_one())

    def forget(self) -> None:
        self._ids = []

    def rescue(self) -> int:
        return sum(
            Sweeper(self._db, settings(), self._publisher, probe(broker_url())).run_once().values()
        )


class OfPlainCelery:
    """Plain chains or chords; the last task of each says so in shared memory."""

    def __init__(self, what: str) -> None:
        folder = tally_folder()
        if folder is None:
            raise RuntimeError(
                "the bench says where its counters are; this is not to be run by itself"
            )
        self._tallies = Tallies(folder)
        self._app: Celery = plain.make(results=what == "chord")
        self._send = plain.send_chord if what == "chord" else plain.send_chain
        self._before = 0

    def submit(self) -> None:
        self._send(self._app)

    def done(self) -> int:
        return self._tallies.total("done") - self._before

    def forget(self) -> None:
        self._before = self._tallies.total("done")

    def rescue(self) -> int:
        return 0  # what plain Celery lost is lost


class ByHand:
    """Jobs of the hand-written loop."""

    def __init__(self) -> None:
        self._store = by_hand.Store(store_url())
        self._store.make_tables()
        self._broker: Any = redis.Redis.from_url(redis_url(broker_url()))
        self._ids: list[str] = []

    def submit(self) -> None:
        job, first = self._store.submit(time.time())
        self._broker.lpush(QUEUE, first)
        self._store.mark_sent(first, time.time())
        self._ids.append(job)

    def done(self) -> int:
        return self._store.completed(self._ids)

    def forget(self) -> None:
        self._ids = []

    def rescue(self) -> int:
        return 0


def driver(what: str) -> Driver:
    """The driver of a row."""
    if what in ("chain", "chord"):
        return OfPlainCelery(what)
    return ByHand() if what == "loop" else OfEngine(what)
