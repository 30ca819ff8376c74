"""The engine and its store in one process: messages wait in a list, and what they weigh is counted."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from sqlalchemy import Engine

from surefoot.app.access import tenants
from surefoot.app.config import Settings
from surefoot.app.delivery.canvas import signature
from surefoot.app.engine.jobs.dispatch import ring
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.engine.worker.execute import perform, run_on
from surefoot.app.engine.worker.parcel import Parcel, parcels
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register


@dataclass
class Postbox:
    """A publisher and a broker that lose nothing. `bytes_`: of the signatures that all messages carried; `weighing_s`: to be taken off."""

    app: Celery = field(default_factory=lambda: Celery("bench", set_as_current=False))
    waiting: list[Parcel] = field(default_factory=list)
    bytes_: int = 0
    messages: int = 0
    weighing_s: float = 0.0
    mark: str | None = None

    def publish(self, plan: Plan) -> bool:
        for parcel in parcels(plan):
            self.send(parcel)
        return True

    def send(self, parcel: Parcel) -> None:
        began = time.process_time()
        carried = (parcel.message, *parcel.rest, *(parcel.body.messages if parcel.body else ()))
        self.bytes_ += sum(len(json.dumps(signature(self.app, message))) for message in carried)
        self.messages += 1
        self.waiting.append(parcel)
        self.weighing_s += time.process_time() - began

    def ping(self) -> bool:
        return True

    def close(self) -> None:
        """There is nothing to close."""

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        return {
            queue: sum(parcel.message.queue == queue for parcel in self.waiting) for queue in queues
        }

    def marker(self) -> str | None:
        return self.mark

    def set_marker(self, value: str) -> None:
        self.mark = value


class Yard:
    """Sagas of empty steps, submitted and run here."""

    def __init__(self, db: Engine, settings: Settings, sagas: Sequence[Saga[Any]]) -> None:
        self.db, self._settings = db, settings
        self._registry = Registry(sagas)
        register(db, sagas)
        self._tenant = tenants.ensure(db)
        self.postbox = Postbox()
        self._sweeper = Sweeper(db, settings, self.postbox, self.postbox)
        self.sweep()  # leaves the broker's marker

    def submit(self, saga: Saga[Any]) -> str:
        done = submit(
            self.db,
            self._settings,
            self._registry,
            Submission(tenant_id=self._tenant, saga=saga.name, input={}, actor="bench"),
        )
        ring(self.db, self.postbox, done.plan)
        return done.job_id

    def run(self) -> None:
        """Until no message is left."""
        while self.postbox.waiting:
            self._deliver(self.postbox.waiting.pop())

    def sweep(self) -> None:
        """One round of the relay."""
        self._sweeper.run_once()

    def _deliver(self, parcel: Parcel) -> None:
        first, limit = parcel.message.operation_id, lambda seconds: nullcontext()
        performed = perform(
            self.db,
            self._settings,
            self._registry,
            self.postbox,
            parcel.delivery("bench", 0),
            limit=limit,
        )
        while performed.following is not None and parcel.next is not None:
            parcel = parcel.next
            delivery = parcel.delivery("bench", 0, message=first)
            performed = run_on(
                self.db,
                self._settings,
                self._registry,
                self.postbox,
                delivery,
                performed.following,
                limit=limit,
            )
        following = parcel.following(performed)
        if following is not None:
            self.postbox.send(following)
