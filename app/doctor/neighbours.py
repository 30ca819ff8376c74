"""A question about the broker's other users: does somebody else take from our queues, or feed them?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from surefoot.app.config import Settings
from surefoot.app.delivery import amqp, neighbours
from surefoot.app.doctor.findings import Finding, ok, warn
from surefoot.app.doctor.fleet import lanes_of
from surefoot.app.errors import BrokerUnavailable
from surefoot.app.rules.states import Kind
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.naming import queue_name
from surefoot.app.store.session import reading
from surefoot.app.store.views import stats

FIX = "stop it, or give Surefoot a SUREFOOT_QUEUE_PREFIX that nobody else has"


def neighbours_on_broker(settings: Settings, db: Engine) -> Iterator[Finding]:
    """RabbitMQ: more consumers than our register has workers.

    Redis: what others hold or have bound.
    """
    if not settings.broker_url:
        return
    with reading(db) as connection:
        live = stats.live_workers(connection)
        graphs = [Graph.from_json(row.graph) for row in stats.definitions_in_use(connection)]
    lanes = {lane for graph in graphs for lane in lanes_of(graph)}
    lanes |= {lane for worker in live for lane in worker.lanes}
    queues = sorted(queue_name(lane, kind) for lane in lanes for kind in (Kind.ACTION, Kind.UNDO))
    found: list[str] = []
    try:
        if amqp.is_amqp(settings.broker_url):
            ours = {q: sum(q in (worker.consuming or ()) for worker in live) for q in queues}
            found = [
                f"{settings.queue_prefix}{queue} has {count} consumers, and {ours[queue]} live"
                " workers of Surefoot take from it: another program takes our messages"
                for queue, count in neighbours.consumers(settings.broker_url, queues).items()
                if count > ours[queue]
            ]
        else:
            found = neighbours.trouble_on_redis(settings.broker_url, queues)
    except BrokerUnavailable:
        return  # the line about the broker says so
    for said in found:
        yield warn("queues", said, FIX)
    if not found:
        yield ok("queues", f"no other program uses our queues ({settings.queue_prefix}…)")
