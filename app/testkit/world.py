"""The engine on a database, with a fake broker, one worker and one relay.

Nothing happens unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from surefoot.app.access import tenants
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.dispatch import Publishes, publish_plan
from surefoot.app.engine.jobs.submit import Submission, submit
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import ExecutionResult
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.rules.planner import Plan
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.testkit import landing
from surefoot.app.testkit.broker import FakeBroker, FakeContinuation
from surefoot.app.testkit.delivery import Child, FakeDelivery


class World:
    """`child`: the worker's process that gets the messages.

    A subclass may give them to another loop.
    """

    def __init__(
        self,
        db: Engine,
        settings: Settings,
        sagas: Sequence[Saga[Any]],
        broker: FakeBroker | None = None,
    ) -> None:
        self.db, self.settings = db, settings
        self.registry = Registry(sagas)
        register(db, sagas)
        self.tenant = tenants.ensure(db)
        self.broker = broker or FakeBroker()
        self.child = Child("world", 1)
        self.sweeper = Sweeper(db, settings, self.broker, self.broker, strict=True)
        self.sweep()  # leaves its marker in the broker

    def runtime(self, publisher: Publishes | None = None) -> Runtime:
        """What the engine is given. `publisher`: in place of the broker."""
        return Runtime(self.db, self.settings, self.registry, publisher or self.broker)

    # --- asking for work --------------------------------------------------------------------------
    def ask(self, submission: Submission) -> str:
        """Submit, and send what is ready. Returns the job's id. Raises: as `submit`."""
        submitted = submit(self.db, self.settings, self.registry, submission)
        self.publish_plan(submitted.plan)
        return submitted.job_id

    def publish_plan(self, plan: Plan) -> None:
        """Send what a commit has made ready."""
        publish_plan(self.db, self.broker, plan)

    # --- letting it run ---------------------------------------------------------------------------
    def deliver(
        self, delivery: FakeDelivery, publisher: Publishes | None = None
    ) -> ExecutionResult:
        """A worker gets a message. Returns how the last of its operations went."""
        return Loop(self.runtime(publisher)).serve(
            FakeContinuation(self.broker, delivery, self.child)
        )

    def deliver_next(self) -> ExecutionResult | None:
        """A worker gets the oldest message. None: there is none."""
        waiting = self.broker.waiting
        return self.deliver(waiting.pop(0)) if waiting else None

    def drain(self) -> None:
        """Deliver until no message is left. Raises: AssertionError for messages without end."""
        landing.drain(self.deliver_next)

    def sweep(self) -> dict[str, int]:
        """One round of the relay. Returns what each duty found."""
        return self.sweeper.run_once()
