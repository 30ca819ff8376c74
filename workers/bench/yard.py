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

from app.access import tenants
from app.config import Settings
from app.delivery.canvas import signature
from app.engine.dispatch import ring
from app.engine.perform import perform, run_on
from app.engine.submit import Submission, submit
from app.engine.sweep import Sweeper
from app.engine.work import Delivery, Performed, Rider, Verdict
from app.rules.planner import Chain, Chord, Message, Plan
from app.saga.definition import Saga
from app.saga.naming import parse_task_name
from app.saga.registry import Registry
from app.store.catalogue import register


@dataclass
class Rung:
    """A message on its way, with what rides on it."""

    message: Message
    rest: tuple[Message, ...] = ()
    body: Chain | None = None


@dataclass
class Postbox:
    """A publisher and a broker that lose nothing. `bytes_`: of the signatures that all messages carried; `weighing_s`: to be taken off."""

    app: Celery = field(default_factory=lambda: Celery("bench", set_as_current=False))
    waiting: list[Rung] = field(default_factory=list)
    bytes_: int = 0
    messages: int = 0
    weighing_s: float = 0.0
    mark: str | None = None

    def publish(self, plan: Plan) -> bool:
        for part in plan:
            body = part.body if isinstance(part, Chord) else None
            for chain in part.header if isinstance(part, Chord) else (part,):
                self.send(Rung(chain.messages[0], chain.messages[1:], body))
        return True

    def send(self, rung: Rung) -> None:
        began = time.process_time()
        carried = (rung.message, *rung.rest, *(rung.body.messages if rung.body else ()))
        self.bytes_ += sum(len(json.dumps(signature(self.app, message))) for message in carried)
        self.messages += 1
        self.waiting.append(rung)
        self.weighing_s += time.process_time() - began

    def ping(self) -> bool:
        return True

    def close(self) -> None:
        """There is nothing to close."""

    def depth(self, queues: Sequence[str]) -> dict[str, int]:
        return {queue: sum(rung.message.queue == queue for rung in self.waiting) for queue in queues}

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
        done = submit(self.db, self._settings, self._registry, Submission(tenant_id=self._tenant, saga=saga.name, input={}, actor="bench"))
        ring(self.db, self.postbox, done.plan)
        return done.job_id

    def run(self) -> None:
        """Until no message is left."""
        while self.postbox.waiting:
            self._deliver(self.postbox.waiting.pop())

    def sweep(self) -> None:
        """One round of the relay."""
        self._sweeper.run_once()

    def _deliver(self, rung: Rung) -> None:
        first = rung.message.operation_id
        performed = perform(
            self.db, self._settings, self._registry, self.postbox, _delivery(rung, None), limit=lambda seconds: nullcontext()
        )
        while performed.following is not None:
            rung = Rung(rung.rest[0], rung.rest[1:], rung.body)
            delivery, following = _delivery(rung, first), performed.following
            performed = run_on(
                self.db, self._settings, self._registry, self.postbox, delivery, following, limit=lambda seconds: nullcontext()
            )
        self._go_on(rung, performed)

    def _go_on(self, rung: Rung, performed: Performed) -> None:
        if performed.verdict not in (Verdict.COMPLETED, Verdict.REPEATED) or performed.stop_chain:
            return
        if rung.rest:
            self.postbox.send(Rung(rung.rest[0], rung.rest[1:], rung.body))
        elif rung.body and rung.body.messages[0].operation_id in performed.released:
            self.postbox.send(Rung(rung.body.messages[0], rung.body.messages[1:]))


def _delivery(rung: Rung, message: str | None) -> Delivery:
    following = rung.rest[0] if rung.rest else rung.body.messages[0] if rung.body else None
    rider = rung.rest[0] if rung.rest and rung.rest[0].queue == rung.message.queue else None
    name, next_name = parse_task_name(rung.message.task), parse_task_name(rider.task) if rider else None
    assert name is not None
    return Delivery(
        operation_id=rung.message.operation_id,
        job_id=rung.message.job_id,
        step=name.step,
        kind=name.kind,
        item=rung.message.item,
        boot="bench",
        pid=0,
        carried=frozenset((following.operation_id,)) if following else frozenset(),
        rider=Rider(rider.operation_id, next_name.step, next_name.kind) if rider and next_name else None,
        message=message,
        saga=name.saga,
    )
