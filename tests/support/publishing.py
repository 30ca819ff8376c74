"""A plan to publish, and how long that takes: the same for each broker."""

from __future__ import annotations

import time

from surefoot.app.delivery.producer import Profile, producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.rules.planner import Chain, Chord, Message, Plan
from surefoot.app.store.ids import new_id, operation_id

PATIENCE_S = 30.0


def plan() -> Plan:
    """A chain of two, and a chord of two chains of one with a body: three messages leave at once."""
    job = new_id()

    def chain(*steps: str) -> Chain:
        return Chain(
            tuple(
                Message(operation_id(job, step, "", "action"), f"order.{step}", "lane", job)
                for step in steps
            )
        )

    return (chain("a", "b"), Chord((chain("c"), chain("d")), chain("e")))


def patient(redis_url: str, profile: Profile = "relay") -> Publisher:
    """For tests that are not about haste: no pause of the machine makes it give up. A Redis that is stopped refuses at once."""
    app = producer_app(redis_url, profile)
    options = {
        **app.conf.broker_transport_options,
        "socket_timeout": PATIENCE_S,
        "socket_connect_timeout": PATIENCE_S,
    }
    app.conf.update(broker_transport_options=options, broker_connection_timeout=PATIENCE_S)
    return Publisher(app, pause_s=0.0)


def timed(publisher: Publisher) -> tuple[bool, float]:
    """Publish such a plan: (whether it left, seconds)."""
    began = time.monotonic()
    return publisher.publish(plan()), time.monotonic() - began
