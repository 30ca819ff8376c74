"""RabbitMQ: its queues, and a connection that waits for nobody without a bound.

The driver waits for an answer for as long as it takes: a frozen broker would hold a web request for
ever. Here every wait without a time-out of its own has one (transport option `patience`, seconds);
after it the connection is thrown away, for a late answer must not be taken for the next one's.

Queues are quorum queues: replicated, and a message that comes back for the DELIVERY_LIMIT-th time
is dropped. Nothing is lost with it, for attempts are counted in the store, which rings again.
Producers and workers declare a queue alike, whichever comes first; declared differently it would be
refused.

An undo queue is a consumer of its own with its own prefetch: undos wait behind the few messages
that a worker has in hand, never behind the backlog. (`x-priority` orders the consumers of one
queue, not the queues of one consumer.)
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import amqp
from kombu.entity import Exchange, Queue
from kombu.transport import pyamqp

SCHEMES = ("amqp", "amqps", "pyamqp")
DELIVERY_LIMIT = 20


def is_amqp(url: str) -> bool:
    """Whether this is the URL of a RabbitMQ."""
    return urlsplit(url).scheme in SCHEMES


def transport_options(patience_s: float, *, confirm: bool) -> dict[str, Any]:
    """`confirm`: a publish waits until the broker has the message, or raises."""
    return {
        "patience": patience_s,
        "write_timeout": patience_s,
        "confirm_publish": confirm,
        "max_retries": 0,
    }


def queue(name: str) -> Queue:
    """A lane's queue as producers and workers declare it."""
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    return Queue(name, Exchange(name, type="direct"), routing_key=name, queue_arguments=arguments)  # type: ignore[no-untyped-call]


class BrokerSilent(amqp.ConnectionError):
    """The broker took the question and did not answer in time. Not worth asking again at once."""


class Connection(pyamqp.Connection):
    """A connection with patience."""

    def __init__(self, *args: Any, patience: float | None = None, **options: Any) -> None:
        self.patience = patience
        super().__init__(*args, **options)

    def blocking_read(self, timeout: float | None = None) -> Any:
        if timeout is not None or self.patience is None:
            return super().blocking_read(timeout)
        try:
            return super().blocking_read(self.patience)
        except TimeoutError as error:
            self.collect()
            raise BrokerSilent(f"no answer within {self.patience:g} s") from error


class Transport(pyamqp.Transport):
    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    Connection = Connection
