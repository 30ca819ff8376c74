"""The engine and its store in one process: messages wait in a list, and what they weigh is counted."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.delivery.canvas import signature
from surefoot.app.engine.jobs.submit import Submission
from surefoot.app.saga.definition import Saga
from surefoot.app.testkit import landing
from surefoot.app.testkit.broker import FakeBroker
from surefoot.app.testkit.delivery import FakeDelivery
from surefoot.app.testkit.world import World

ENDLESS = 10_000_000  # messages of one run


@dataclass
class WeighedBroker(FakeBroker):
    """`bytes_`: of the signatures that all messages carried; `weighing_s`: to be taken off."""

    app: Celery = field(default_factory=lambda: Celery("bench", set_as_current=False))
    bytes_: int = 0
    messages: int = 0
    weighing_s: float = 0.0

    def send(self, delivery: FakeDelivery) -> None:
        began = time.process_time()
        carried = (
            delivery.message,
            *delivery.rest,
            *(delivery.body.messages if delivery.body else ()),
        )
        self.bytes_ += sum(len(json.dumps(signature(self.app, message))) for message in carried)
        self.messages += 1
        self.waiting.append(delivery)
        self.weighing_s += time.process_time() - began


class Yard(World):
    """Sagas of empty steps, submitted and run here. The latest message is delivered first."""

    def __init__(self, db: Engine, settings: Settings, sagas: Sequence[Saga[Any]]) -> None:
        self.weighed = WeighedBroker()
        super().__init__(db, settings, sagas, self.weighed)

    def submit(self, saga: Saga[Any]) -> str:
        """Returns the job's id."""
        return self.ask(Submission(tenant_id=self.tenant, saga=saga.name, input={}, actor="bench"))

    def run(self) -> None:
        """Until no message is left."""
        waiting = self.broker.waiting
        landing.drain(lambda: self.deliver(waiting.pop()) if waiting else None, most=ENDLESS)
