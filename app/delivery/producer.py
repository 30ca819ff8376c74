"""Celery apps that only publish: they know no task, only names.

Three profiles of one configuration (`surefoot.celeryconfig`):

* `web`: a request waits for nobody. A stopped broker refuses at once, a frozen one after half a
  second.
* `relay`: the sweep has other things to do than to wait, but may be a little more patient.
* `worker`: what a child publishes after its operation; as impatient as web, because a lane waits
  behind it.
"""

from __future__ import annotations

from typing import Any, Literal

from surefoot.app.delivery import amqp
from surefoot.app.delivery.celery_settings import OwnCelery, adjust, check, own_app

Profile = Literal["web", "relay", "worker"]
SOCKET_S: dict[Profile, float] = {"web": 0.5, "relay": 1.0, "worker": 0.5}
CONNECT_S = 0.3


def fast(profile: Profile, transport_options: dict[str, Any]) -> dict[str, Any]:
    """Settings that bound one publish, on top of `transport_options`."""
    return {
        "task_publish_retry": False,
        "broker_connection_timeout": CONNECT_S,
        "broker_transport_options": {
            **transport_options,
            "socket_timeout": SOCKET_S[profile],
            "socket_connect_timeout": CONNECT_S,
            # kombu opens connections with its own retries on top of redis-py's: neither here
            "max_retries": 0,
            "retry_on_timeout": False,
        },
    }


def fast_amqp(profile: Profile) -> dict[str, Any]:
    """The same for RabbitMQ.

    A connection that the broker closed meanwhile is opened anew, once: the second try is at once,
    and a broker that does not answer gets none (`amqp.BrokerSilent`).
    """
    return {
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 1,
            "interval_start": 0.0,
            "interval_step": 0.0,
            "interval_max": 0.0,
        },
        "broker_connection_timeout": CONNECT_S,
        "broker_transport_options": amqp.transport_options(SOCKET_S[profile], confirm=True),
    }


def producer_app(broker_url: str, profile: Profile = "web") -> OwnCelery:
    """An app to publish with. It registers nothing and is not made the current app of the process.

    Raises: SettingsError when its settings are not ours.
    """
    app = own_app("surefoot-producer", set_as_current=False)
    if amqp.is_amqp(broker_url):
        adjust(app, **fast_amqp(profile))
    else:
        adjust(app, **fast(profile, dict(app.conf.broker_transport_options)))
    adjust(app, **broker_settings(broker_url))
    check(app)
    return app


def broker_settings(broker_url: str) -> dict[str, Any]:
    """What follows from the kind of broker, for producers and workers alike."""
    return {
        "broker_url": broker_url,
        "task_create_missing_queue_type": "quorum" if amqp.is_amqp(broker_url) else "classic",
    }
