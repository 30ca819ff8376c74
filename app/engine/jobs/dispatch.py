"""Ringing: a plan leaves after the commit that made it, and the rows say so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import structlog
from sqlalchemy import Engine

from surefoot.app import faults
from surefoot.app.errors import StoreUnavailable
from surefoot.app.faults import Point
from surefoot.app.rules.planner import Chain, Message, Plan, sent_with
from surefoot.app.saga.naming import queue_name, task_name
from surefoot.app.store import message_writes
from surefoot.app.store.rows.operations import MessageRow
from surefoot.app.store.session import execute_single

log = structlog.get_logger("surefoot.dispatch")


class Publishes(Protocol):
    """What sends a plan to the broker.

    False: it could not, and nothing is lost, for the rows remember.
    """

    def publish(self, plan: Plan) -> bool: ...


@dataclass
class FaultInjectingPublisher:
    """A publisher that says before and after each publication that it stands there: `relay.publish`
    of surefoot.app.faults.
    """

    inner: Publishes

    def publish(self, plan: Plan) -> bool:
        faults.reached(Point.AFTER_COMMIT, "relay", "publish")
        sent = self.inner.publish(plan)
        faults.reached(Point.AFTER_PUBLISH, "relay", "publish")
        return sent


@runtime_checkable
class LetsIn(Publishes, Protocol):
    """A publisher that may defer a part of a plan (`surefoot.app.engine.jobs.fairness`)."""

    def admitted(self, plan: Plan) -> Plan: ...


def publish_plan(db: Engine, publisher: Publishes, plan: Plan) -> bool:
    """Publish a plan and mark its messages sent.

    False: the relay will. Never raises for trouble of broker or store.
    """
    if not plan:
        return True
    asked = plan
    plan = publisher.admitted(asked) if isinstance(publisher, LetsIn) else asked
    if not plan or not publisher.publish(plan):
        return False
    ids = [message.operation_id for message in sent_with(plan)]
    try:
        execute_single(db, lambda tx: message_writes.mark_sent(tx, ids), name="dispatch.ring")
    except StoreUnavailable as error:
        log.warning("not_marked_sent", operations=len(ids), error=str(error))  # rung twice at worst
    return plan == asked


def mark_unsent(db: Engine, operation_ids: Collection[str]) -> None:
    """What a delivery carried did not leave: say so, and the relay sends it within a second instead
    of after a lease.
    """
    try:
        execute_single(
            db, lambda tx: message_writes.mark_unsent(tx, operation_ids), name="dispatch.not_sent"
        )
    except StoreUnavailable as error:
        log.warning("not_marked_unsent", operations=len(operation_ids), error=str(error))


def single_messages(rows: Sequence[MessageRow]) -> Plan:
    """Each operation by a message of its own; its completion dispatches what follows.

    `rows`: id, job_id, saga, step, kind, item, lane.
    """
    return tuple(
        Chain(
            (
                Message(
                    row.id,
                    task_name(row.saga, row.step, row.kind),
                    queue_name(row.lane, row.kind),
                    row.job_id,
                    row.item,
                ),
            )
        )
        for row in rows
    )
