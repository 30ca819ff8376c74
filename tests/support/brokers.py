"""A broker for one test, of either kind, with the questions that tests ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from surefoot.app.delivery.queues import on_broker
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.redis_server import RedisServer


class Broker(Protocol):
    """`url` is what BROKER_URL says."""

    @property
    def url(self) -> str: ...

    def unacknowledged(self) -> int:
        """Messages that a worker was given and has not acknowledged."""
        ...

    def settled(self) -> bool:
        """Whether there is no message at all: none waits, and none is unacknowledged."""
        ...


@dataclass
class OnRedis:
    server: RedisServer

    @property
    def url(self) -> str:
        return self.server.url

    def unacknowledged(self) -> int:
        with self.server.client() as client:
            return int(client.hlen(on_broker("unacked")))  # type: ignore[arg-type]

    def settled(self) -> bool:
        with self.server.client() as client:  # an empty list is no key
            return self.unacknowledged() == 0 and b"list" not in {
                client.type(key) for key in client.keys("*")
            }  # type: ignore[union-attr]


@dataclass
class OnRabbitMQ:
    """A virtual host of its own on a server that others use too."""

    server: RabbitMQServer
    vhost: str

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.server.port}/{self.vhost}"

    def open(self) -> OnRabbitMQ:
        self.server.ctl("add_vhost", self.vhost)
        self.server.ctl("set_permissions", "-p", self.vhost, "guest", ".*", ".*", ".*")
        return self

    def close(self) -> None:
        self.server.ctl("delete_vhost", self.vhost)

    def unacknowledged(self) -> int:
        return self._sum("messages_unacknowledged")

    def settled(self) -> bool:
        return self._sum("messages") == 0

    def _sum(self, column: str) -> int:
        return sum(
            map(
                int,
                self.server.ctl(
                    "list_queues", "--quiet", "--no-table-headers", "-p", self.vhost, column
                ).split(),
            )
        )
