"""What queues are called on the broker, in which order a worker asks them, and how a new one is
declared.

Everywhere else a queue has the name of its lane (`orders`, `orders.undo`). On the broker it begins
with SUREFOOT_QUEUE_PREFIX, so that a queue `orders` of somebody else's Celery is another one.

Redis serves a blocking pop in the order of the keys it names. kombu's `priority` strategy would
keep one fixed order, so a busy first lane would starve the others; `round_robin`, the default, lets
undos wait behind new work.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import Queues
from kombu.entity import Queue
from kombu.utils.scheduling import round_robin_cycle

from surefoot.app.config import settings
from surefoot.app.delivery import amqp

UNDO_SUFFIX = ".undo"


def on_broker(name: str) -> str:
    """The name on the broker of one of our queues (or of another of our objects there)."""
    return f"{settings().queue_prefix}{name}"


def of_lane(name: str) -> str:
    """The name of a queue without the prefix; a name that has none as it is."""
    return name.removeprefix(settings().queue_prefix)


class UndoFirst(round_robin_cycle):
    """Undo queues before all others; within both groups the one served last comes last."""

    def consume(self, n: int) -> list[Any]:
        """The first `n` queues, in the order in which they are asked."""
        return sorted(self.items, key=lambda queue: not str(queue).endswith(UNDO_SUFFIX))[:n]


class QuorumQueues(Queues):
    """Queues that a producer meets by name: declared as the workers declare theirs."""

    def new_missing(self, name: str) -> Queue:
        return (
            amqp.queue(name)
            if self.create_missing_queue_type == "quorum"
            else super().new_missing(name)
        )
