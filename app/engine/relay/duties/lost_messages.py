"""Messages that the broker lost: sent, and nobody came, although the message can be in its queue no
more.

Asked lane by lane, so that a long queue hides nothing of another:

* The queue is empty: whatever was sent a lease ago is lost.
* It is not, and the lane moves (it has running operations, or its queue has grown shorter): its
  messages wait their turn. Queues give the oldest first, so what was sent long before one that is
  running now was passed over: that is lost.
* It is not, and nothing moves: its messages may be lost or not, and are rung again after
  SUREFOOT_LOST_SECONDS.

Each bound is doubled with every time that an operation was rung again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.delivery.broker import BrokerProbe
from surefoot.app.engine.jobs.dispatch import Publishes, single_messages
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.saga.naming import queue_name
from surefoot.app.store import message_reads, message_writes
from surefoot.app.store.message_reads import Queue
from surefoot.app.store.rows.operations import MessageRow
from surefoot.app.store.session import reading, transaction


@dataclass
class Flow:
    """What was seen of a queue: how deep, and when it was last seen to be shorter than before."""

    depth: int
    shrunk_at: datetime | None = None


@dataclass
class Lost:
    """One relay's look at what was lost. Remembers how deep the queues were."""

    db: Engine
    settings: Settings
    publisher: Publishes
    broker: BrokerProbe
    name: ClassVar[str] = "lost"
    _flows: dict[str, Flow] = field(default_factory=dict)

    def run_once(self) -> int:
        """Ring what was lost. Returns how many operations."""
        with reading(self.db, name="relay.lost") as connection:
            queues = message_reads.sent_queues(connection, self.settings.lease_seconds)
        if not queues:
            self._flows.clear()
            return 0
        try:
            depths = self.broker.depth(sorted({_name(queue) for queue in queues}))
        except BrokerUnavailable:
            return 0
        rows = [row for queue in queues for row in self._gone(queue, depths.get(_name(queue), 0))]
        if not rows or not self.publisher.publish(single_messages(rows)):
            return 0
        transaction(
            self.db,
            lambda tx: message_writes.mark_sent_again(tx, [row.id for row in rows]),
            name="relay.lost",
        )
        return len(rows)

    def _gone(self, queue: Queue, depth: int) -> Sequence[MessageRow]:
        lease_s, most = self.settings.lease_seconds, self.settings.sweep_rows
        shrunk_at = self._look(queue, depth)
        with reading(self.db, name="relay.lost_gone") as connection:
            if depth == 0:
                return message_reads.sent_long_ago(connection, queue, lease_s, most)
            running = message_reads.running_of(connection, queue)
            if running.count == 0 and not self._is_recent(shrunk_at, queue.at):
                return message_reads.sent_long_ago(
                    connection, queue, self.settings.lost_seconds, most
                )
            if running.newest_sent is None:
                return ()
            return message_reads.sent_long_before(
                connection, queue, running.newest_sent, lease_s, most
            )

    def _look(self, queue: Queue, depth: int) -> datetime | None:
        flow = self._flows.setdefault(_name(queue), Flow(depth))
        if depth < flow.depth:
            flow.shrunk_at = queue.at
        flow.depth = depth
        return flow.shrunk_at

    def _is_recent(self, shrunk_at: datetime | None, at: datetime) -> bool:
        return shrunk_at is not None and at - shrunk_at < timedelta(
            seconds=self.settings.lost_seconds
        )


def _name(queue: Queue) -> str:
    return queue_name(queue.lane, queue.kind)
