"""A Celery task for each operation of each saga, named for people: `order.reserve_stock`,
`order.reserve_stock.undo`.

The task knows nothing about sagas: it hands the delivery to the engine and turns its verdict into
what Celery and Flower understand. Everything that counts has been committed before that.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from typing import Any

import structlog
from celery import Celery, Task
from celery.exceptions import Ignore, Reject, Retry

from surefoot.app import logs
from surefoot.app.config import settings
from surefoot.app.delivery.queues import of_lane
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.delivery import DeliveryOutcome, ExecutionResult
from surefoot.app.engine.worker.loop import Loop
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.errors import StoreUnavailable
from surefoot.app.metrics.counters import DUPLICATE_DELIVERIES
from surefoot.app.rules.states import OpState
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.naming import parse_task_name
from surefoot.app.saga.registry import Registry
from surefoot.app.store import operation_reads
from surefoot.app.store.session import reading
from surefoot.app.store.views.names import names_in_log
from surefoot.workers import boot
from surefoot.workers.continuation import RAN_ON, ChainContinuation
from surefoot.workers.lanes import registry
from surefoot.workers.time_limits import limit

log = structlog.get_logger(__name__)
UNKNOWN_TASK = "surefoot.unknown"
MESSAGE_LIMIT_SLACK_S = (
    30.0  # Celery's own limit is the last net: the step's timeout, the keeper's grace, and this
)
STORE_PAUSE_S = (
    1.0,
    2.0,
)  # a child that finds no store waits so long before it gives its message back


# What Flower is told of an operation whose message was dropped, by the operation's state. None:
# what it shows is true.
REVOKED: tuple[str, dict[str, Any]] = (
    "task-revoked",
    {"terminated": False, "signum": None, "expired": False},
)
COMES_AGAIN: tuple[str, dict[str, Any]] = (
    "task-retried",
    {"exception": "not to be run yet", "traceback": ""},
)
EVENT_OF_DROPPED: dict[str, tuple[str, dict[str, Any]] | None] = {
    OpState.RUNNING: None,
    OpState.COMPLETED: None,
    OpState.SKIPPED: None,
    OpState.FAILED: None,
    OpState.PENDING: COMES_AGAIN,
    OpState.QUEUED: COMES_AGAIN,
    OpState.WAITING: COMES_AGAIN,
}


class StepFailed(Exception):
    """The operation has failed for good; the store says how the job goes on."""


class StepWaits(Exception):
    """The operation is tried again later; the time is in the store."""


class GivenBack(Reject):
    """The store does not answer: the message goes back to its queue. `give_back` has logged it."""


def not_logged_yet(record: logging.LogRecord) -> bool:
    """A filter for Celery's line of an outcome, which for a `Reject` always holds a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], GivenBack))


logging.getLogger(logs.DOUBLED).addFilter(not_logged_yet)


class StepTask(Task):
    """One operation.

    Subclasses are made by `register_all`; the hooks below are what they may override.
    """

    abstract = True
    Request = "surefoot.workers.request:StepRequest"
    typing = False  # the shape of a message is checked when it arrives
    throws = (StepFailed,)  # expected: one line in the log, no traceback

    def run(self, job_id: str, item: str = "") -> str:
        structlog.contextvars.clear_contextvars()
        name = parse_task_name(self.request.task)
        named = names_in_log(name.saga if name else "", job_id)
        structlog.contextvars.bind_contextvars(**named, operation=self.request.task)
        loop = self.loop()
        continuation = ChainContinuation(self, loop.mark_unsent, job_id, item)
        performed = loop.serve(continuation)
        return (
            self.conclude_run_on(continuation, performed)
            if continuation.moved
            else self.conclude(performed)
        )

    # --- hooks ---
    def loop(self) -> Loop:
        """What does the message's operations."""
        return Loop(Runtime(boot.db(), settings(), registry(), boot.in_turn(), limit))

    def conclude(self, performed: ExecutionResult) -> str:
        """The engine's verdict as Celery's outcome."""
        match performed.verdict:
            case DeliveryOutcome.COMPLETED | DeliveryOutcome.REPEATED:
                return performed.said
            case DeliveryOutcome.DROPPED:
                if performed.forged:
                    self.quarantine(performed.error or "")
                self.count_dropped()
                self.tell_dropped()
                raise Ignore(performed.error or "not to be run now")
            case DeliveryOutcome.RETRY | DeliveryOutcome.PARKED:
                # Never self.retry(): it publishes, and drops the task when the broker is down.
                raise Retry(str(performed.verdict), exc=StepWaits(performed.said))
            case _:
                raise StepFailed(performed.said)

    def conclude_run_on(self, continuation: ChainContinuation, performed: ExecutionResult) -> str:
        """The same for an operation that was run on to: what Celery hears speaks for the message,
        so Flower is told by us.
        """
        continuation.tell_end(performed)
        return RAN_ON

    def count_dropped(self) -> None:
        name = parse_task_name(self.request.task)
        DUPLICATE_DELIVERIES.count(name._asdict() if name else {})

    def quarantine(self, reason: str) -> None:
        """Keep what this message says: somebody else has sent it.

        Without a store it is only logged; it did no harm.
        """
        request = self.request
        body = json.dumps([list(request.args or ()), request.kwargs or {}])
        headers = {
            "task": request.task,
            "id": request.id,
            "root_id": request.root_id,
            "origin": getattr(request, "origin", None),
        }
        queue = of_lane(str((request.delivery_info or {}).get("routing_key") or ""))
        log.warning("message.quarantined", reason=reason, queue=queue)
        try:
            quarantine.keep(
                boot.db(),
                reason,
                Unrunnable(queue=queue, body=body, headers=headers, size=len(body)),
            )
        except StoreUnavailable as error:
            log.warning("quarantine.not_written", reason=reason, error=str(error))

    def tell_dropped(self) -> None:
        """Flower saw this message start, and Celery says nothing when it is ignored: tell how the
        operation stands.

        Not by `task-rejected`: Celery ranks it below "started", so Flower would show the operation
        as started for ever.
        """
        publisher = boot.publisher()
        event = self.event_of_dropped()
        if event is None:
            return
        name, fields = event

        def send() -> None:  # through the publisher's connections, whose time-outs are short
            with publisher.app.events.default_dispatcher(
                hostname=self.request.hostname
            ) as dispatcher:
                dispatcher.send(name, uuid=self.request.id, retry=False, **fields)

        publisher.guarded(send)

    def event_of_dropped(self) -> tuple[str, dict[str, Any]] | None:
        try:
            with reading(boot.db()) as connection:
                row = operation_reads.operation(connection, self.request.id)
        except StoreUnavailable:
            return None
        return EVENT_OF_DROPPED.get(row.state if row is not None else "", REVOKED)

    def give_back(self, error: StoreUnavailable) -> None:
        """Without a store nothing may run.

        Wait a little, so that a queue is not turned round and round, and put it back.
        """
        log.warning("store.unreachable", operation=self.request.id, error=str(error))
        threading.Event().wait(random.uniform(*STORE_PAUSE_S))
        raise GivenBack(str(error), requeue=True) from None


def time_limit_s(graph: Graph, step: str, kind: str) -> float:
    """Celery's limit for a message of this operation."""
    limits = graph.by_name[step].limits_of(kind)
    return limits.timeout_s + settings().hard_limit_grace_seconds + MESSAGE_LIMIT_SLACK_S


def register_all(app: Celery, known: Registry) -> list[str]:
    """Register a task for each operation of each saga, and one for operations whose code is
    elsewhere.

    The last one lets the engine answer for a message of a newer or older definition: it waits for
    its version.
    """
    names = []
    for saga in known.all():
        for name, step, kind, _queue in saga.tasks():
            _register(app, name, time_limit=time_limit_s(saga.graph, step, kind))
            names.append(name)
    _register(app, UNKNOWN_TASK, time_limit=None)
    return names


def _register(app: Celery, name: str, **attributes: Any) -> None:
    app.register_task(
        type(
            name.replace(".", "_"),
            (StepTask,),
            {"name": name, "__module__": __name__, **attributes},
        )()
    )
