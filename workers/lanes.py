"""Which queues a worker serves, and which registry it runs from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache

from kombu.entity import Exchange, Queue

from surefoot.app.config import settings
from surefoot.app.delivery import amqp
from surefoot.app.delivery.queues import on_broker
from surefoot.app.errors import SettingsError
from surefoot.app.rules.states import Kind
from surefoot.app.saga.naming import DEAD_LANE, queue_name
from surefoot.app.saga.registry import Registry

DEFAULT_BROKER = "redis://127.0.0.1:6379/0"
VISIBILITY_SLACK_S = 300.0


@lru_cache
def registry() -> Registry:
    """The sagas this process has the code of: SUREFOOT_SAGAS and the installed entry points."""
    return Registry.load(settings().saga_modules)


def broker_url() -> str:
    """BROKER_URL, or a Redis on its usual port of this machine."""
    return settings().broker_url or DEFAULT_BROKER


def lanes_of(known: Registry) -> tuple[str, ...]:
    """Every lane that some step of some saga names, sorted."""
    found: set[str] = set()
    for saga in known.all():
        for node in saga.graph.nodes:
            found.add(node.lane)
            if node.compensation is not None:
                found.add(node.compensation.lane)
    return tuple(sorted(found))


def served_lanes(known: Registry, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """SUREFOOT_LANES (comma separated), else all lanes of the registry.

    Raises: SettingsError for the lane of dead letters.
    """
    named = tuple(
        dict.fromkeys(
            lane.strip() for lane in environ.get("SUREFOOT_LANES", "").split(",") if lane.strip()
        )
    )
    if DEAD_LANE in named:
        raise SettingsError(
            f"SUREFOOT_LANES: the lane {DEAD_LANE} shows dead letters; a worker would only take them out of sight"
        )
    return named or lanes_of(known)


def queues(lanes: Iterable[str]) -> list[Queue]:
    """The undo queues of these lanes, then their queues for actions and confirmations."""
    names = [
        on_broker(queue_name(lane, kind)) for kind in (Kind.UNDO, Kind.ACTION) for lane in lanes
    ]
    return [_queue(name) for name in names]


def _queue(name: str) -> Queue:
    if amqp.is_amqp(broker_url()):
        return amqp.queue(name)
    # The same exchange as Celery gives a queue that it meets by name: producers know no queues.
    return Queue(name, Exchange(name, type="direct"), routing_key=name)  # type: ignore[no-untyped-call]


def visibility_timeout_s(lanes: Iterable[str]) -> float:
    """After how long the broker gives a message to somebody else: above any operation of these
    lanes, twice over.
    """
    longest = max(
        (settings().lane_limit_seconds(lane) for lane in lanes),
        default=settings().lane_limit_seconds(""),
    )
    return 2 * longest + VISIBILITY_SLACK_S


def transport_options(configured: Mapping[str, object], known: Registry) -> dict[str, object]:
    """The configured options of the broker's transport with what follows from the lanes.

    On Redis every worker puts back the messages of *all* workers that are older than its own
    visibility timeout: so it is one figure for all, from the longest lane that is known, not from
    the lanes of this worker.
    """
    if amqp.is_amqp(broker_url()):
        return dict(configured)
    return {**configured, "visibility_timeout": visibility_timeout_s(lanes_of(known))}
