"""In which order a worker asks its queues, and what a queue is that nobody has named before.

Redis serves a blocking pop in the order of the keys it names. kombu's `priority` strategy would keep one fixed order,
so a busy first lane would starve the others; `round_robin`, the default, lets undos wait behind new work.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import Queues
from kombu.entity import Queue
from kombu.utils.scheduling import round_robin_cycle

from surefoot.app.delivery import amqp

UNDO_SUFFIX = ".undo"


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
