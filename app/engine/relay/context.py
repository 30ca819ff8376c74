"""What the duties of one relay share: the database, the way to the broker, and what was set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.delivery.broker import BrokerProbe
from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs.dispatch import Publishes, publish_plan
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.errors import NotFound
from surefoot.app.rules.planner import Plan
from surefoot.app.store.session import reading, transaction

T = TypeVar("T")


class Duty(Protocol):
    """One kind of repair. `name`: what its count and its failures are called in metrics and logs."""

    @property
    def name(self) -> str: ...

    def run_once(self) -> int:
        """Returns how many it found. Raises: StoreUnavailable."""
        ...


@dataclass
class RelayContext:
    """`duty` below is a duty's name, which is a part of the names of its transactions, too."""

    db: Engine
    settings: Settings
    publisher: Publishes
    broker: BrokerProbe
    isolated: Isolated

    def room(self, duty: str) -> int:
        """How many rows a read of this duty asks for."""
        return self.isolated.room(duty, self.settings.sweep_rows)

    def read(self, duty: str, query: Callable[[Connection], T]) -> T:
        with reading(self.db, name=f"relay.{duty}") as connection:
            return query(connection)

    def find(self, duty: str, query: Callable[[Connection, int], T]) -> T:
        """What a duty has to see to: `query` with as many rows as there is room for."""
        room = self.room(duty)
        return self.read(duty, lambda connection: query(connection, room))

    def write(self, duty: str, work: Callable[[Connection], T]) -> T:
        return transaction(self.db, work, name=f"relay.{duty}")

    def publish(self, plan: Plan) -> bool:
        """Publish what a commit has made ready. False: not all of it left."""
        return publish_plan(self.db, self.publisher, plan)

    def change_each(
        self, duty: str, job_ids: Iterable[str], change: Callable[[JobTransaction], None]
    ) -> int:
        """Change each job in a transaction of its own, and publish. Returns how many."""

        def one(job_id: str) -> int:
            self.publish(self.write(duty, lambda tx: _change(tx, job_id, change)))
            return 1

        return self.isolated.each(duty, job_ids, one)


def _change(tx: Connection, job_id: str, change: Callable[[JobTransaction], None]) -> Plan:
    try:
        job_tx = JobTransaction(tx, job_id)
    except NotFound:
        return ()
    change(job_tx)
    return job_tx.close()
