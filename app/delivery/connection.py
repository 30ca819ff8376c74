"""The connections of all our Celery apps: kombu's transports with two mends.

RabbitMQ: a wait without a bound gets one (`surefoot.app.delivery.amqp`).

Redis: a channel whose connection is gone says so, in a way that Celery knows. When Redis goes away
while a worker holds a message, Celery throws the connection away and closes its channel, which
wants to put its messages back, opens a connection for that, and looks for the address in what is
gone. Celery does not take that AttributeError for a connection error, and ends the worker's main
process (kombu 5.7.0). With this it stays, reconnects and consumes.

And a Redis channel keeps the client it made for its pool. kombu makes one for every command that it
sends outside the event loop; making one costs more than the command, a quarter of what publishing a
message costs.
"""

from __future__ import annotations

from typing import Any

import redis
from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

from surefoot.app.delivery.queues import QuorumQueues


class RedisChannel(kombu_redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise redis.exceptions.ConnectionError("the connection to the broker is closed")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[no-untyped-call]

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        pool, client = self.__dict__.get("_kept", (None, None))
        if client is None or pool is not self.pool:  # a channel that reconnects has another pool
            client = super()._create_client()  # type: ignore[no-untyped-call]
            self._kept = (self.pool, client)
        return client


class RedisTransport(kombu_redis.Transport):
    Channel = RedisChannel


__all__ = ["Connection", "LaneAMQP"]  # kombu's connection, once our transports are in its table

OURS = {
    "redis": f"{__name__}:RedisTransport",
    "rediss": f"{__name__}:RedisTransport",
    "amqp": "surefoot.app.delivery.amqp:Transport",
    "pyamqp": "surefoot.app.delivery.amqp:Transport",
    "amqps": "surefoot.app.delivery.amqp:SSLTransport",
}
# kombu's own table: a pool makes connections of a class of its own, which asks there.
TRANSPORT_ALIASES.update(OURS)


class LaneAMQP(AMQP):
    """For `Celery(amqp=…)`: our queues, and with this module our transports."""

    queues_cls = QuorumQueues
