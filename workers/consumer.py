"""What comes out of the queues: our messages run, everything else goes to quarantine.

Plain Celery drops an unknown message, and a malformed one ends the worker, returns to the queue and
ends the next. Here both become a row that a person can look at, and the worker goes on. If the row
cannot be written the message is kept unacknowledged and tried again; a dying worker leaves it to
the broker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer

from surefoot.app.config import settings
from surefoot.app.delivery.queues import of_lane
from surefoot.app.engine.worker import quarantine
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.app.saga.naming import parse_task_name
from surefoot.workers import boot
from surefoot.workers.remote import QuestionsOnly
from surefoot.workers.tasks import UNKNOWN_TASK, StepTask

log = structlog.get_logger(__name__)
celery_log = get_logger(__name__)
CELERYS_OWN = "celery."  # celery.map, celery.chord_unlock …
KEPT_CHARS = 64 * 1024
QUARANTINE_PAUSE_S = 5.0
RECONNECT_S = {"interval_start": 1, "interval_step": 1, "interval_max": 2}


class Strategies(dict[str, Any]):
    """task name -> what to do with a message of it.

    A name that could be a step's goes to the task for unknown steps.
    """

    def __missing__(self, name: str) -> Any:
        ours = (
            isinstance(name, str)
            and not name.startswith(CELERYS_OWN)
            and parse_task_name(name) is not None
        )
        if ours and UNKNOWN_TASK in self:
            return self[UNKNOWN_TASK]
        raise KeyError(name)


class StepConsumer(Consumer):
    """Celery's consumer with a quarantine."""

    class Blueprint(Consumer.Blueprint):
        """Without delayed delivery: 28 quorum queues on a RabbitMQ, for messages with an ETA, which
        are quarantined here.

        With a mailbox that takes questions only.
        """

        default_steps = [
            QuestionsOnly if step.endswith(":Control") else step
            for step in Consumer.Blueprint.default_steps
            if "delayed_delivery" not in step
        ]

    Strategies = Strategies

    def __init__(
        self, *args: Any, worker_options: dict[str, Any] | None = None, **options: Any
    ) -> None:
        # Workers need not know each other: no question round at start (a second), no gossip about
        # revoked tasks.
        quiet = {"without_mingle": True, "without_gossip": True}
        super().__init__(*args, worker_options={**(worker_options or {}), **quiet}, **options)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes; asked every second or two, where kombu's own waits grow
        to half a minute.
        """
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_S)
        connected = super().ensure_connected(conn)
        if (
            connected.transport.driver_type == "redis"
        ):  # RabbitMQ's envelope is the protocol's own, not JSON
            connected.transport.on_readable = partial(self._read, connected.transport.on_readable)
        return connected

    def update_strategies(self) -> None:
        super().update_strategies()
        for name in list(self.strategies):
            if not isinstance(self.app.tasks[name], StepTask):
                del self.strategies[
                    name
                ]  # Celery's own (celery.map, celery.chord …): we never send them

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*args, **options)
        # kombu counts KeyError among connection errors: a message without an id would reconnect the
        # worker for ever.
        connection_errors = tuple(
            e
            for e in self.connection_errors
            if not issubclass(e, (LookupError, ValueError, TypeError))
        )

        def on_message(message: Any) -> Any:
            size, most = size_of(message), settings().message_bytes
            if size > most:
                return self.quarantine(
                    message,
                    f"it has {size} bytes; at most {most} are taken (SUREFOOT_MESSAGE_BYTES)",
                )
            try:
                return handle(message)
            except connection_errors:
                raise
            except Exception as error:
                return self.quarantine(message, f"not a task message: {error!r}")

        return on_message

    def _read(self, read: Callable[[int], Any], fileno: int) -> Any:
        """Read from the broker; a malformed envelope (written past kombu) would end the worker."""
        try:
            return read(fileno)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            self._unreadable(error)
        except KeyError as error:
            if not (error.args and isinstance(error.args[0], str)):
                raise  # a file descriptor: kombu's sign that a connection is stale
            self._unreadable(error)

    def _unreadable(self, error: Exception) -> None:
        log.warning("envelope.unreadable", error=presentable(repr(error), 500))
        try:  # the broker has let it go already: this row, or nothing
            body = presentable(getattr(error, "doc", ""))
            quarantine.keep(
                boot.db(),
                presentable(f"envelope cannot be read: {error!r}", 1000),
                Unrunnable(queue="", body=body, headers={}),
            )
        except Exception as failed:
            log.warning("quarantine.not_written", error=repr(failed))

    # --- Celery's hooks for what it cannot run ---
    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.quarantine(
            message, f"no such task: {presentable(exc.args[0] if exc.args else exc, 200)}"
        )

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self.quarantine(message, "not a task message")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.quarantine(message, f"invalid: {exc}")

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self.quarantine(message, f"cannot be decoded: {exc!r}")

    # --- quarantine ---
    def quarantine(self, message: Any, reason: str) -> None:
        """Keep it as a row, then acknowledge it."""
        reason = presentable(reason, 1000)
        try:
            body, size = presentable(message.body), size_of(message)
            quarantine.keep(
                boot.db(),
                reason,
                Unrunnable(
                    queue=queue_of(message), body=body, headers=headers_of(message), size=size
                ),
            )
        except Exception as error:
            log.warning(
                "quarantine.not_written",
                reason=reason,
                error=repr(error),
                again_in_s=QUARANTINE_PAUSE_S,
            )
            self.timer.call_after(QUARANTINE_PAUSE_S, self.quarantine, (message, reason))
            return
        log.warning("message.quarantined", reason=reason, queue=queue_of(message))
        message.ack_log_error(celery_log, self.connection_errors)


def presentable(value: Any, limit: int = KEPT_CHARS) -> str:
    """`value` as text that every database and JSON takes: no NUL, no half characters, at most
    `limit` characters.
    """
    text = (
        value.decode("utf-8", "backslashreplace")
        if isinstance(value, (bytes, bytearray))
        else str(value)
    )
    text = text[:limit] + (f" … ({len(text)} characters)" if len(text) > limit else "")
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def size_of(message: Any) -> int:
    """Bytes of its body, as far as that can be told."""
    return len(message.body) if isinstance(message.body, (bytes, bytearray, str)) else 0


def queue_of(message: Any) -> str:
    info = message.delivery_info if isinstance(message.delivery_info, Mapping) else {}
    return presentable(of_lane(str(info.get("routing_key") or "")), 200)


def headers_of(message: Any) -> dict[str, Any]:
    """The headers as JSON can hold them; whatever they are in truth."""
    if not isinstance(message.headers, Mapping):
        return {} if message.headers is None else {"headers": presentable(repr(message.headers))}
    found: dict[str, Any] = {}
    for name, value in list(message.headers.items())[:100]:
        try:
            kept = json.loads(presentable(json.dumps(value)))
        except (TypeError, ValueError, RecursionError):
            kept = presentable(repr(value))
        found[presentable(name, 200)] = kept
    return found
