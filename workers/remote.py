"""Celery's remote control: a worker answers questions, and refuses whatever would change it.

Everybody who can write to the broker can broadcast a command: `cancel_consumer` stops a lane,
`pool_shrink` takes the children away, `shutdown` ends the worker. Nothing here needs any of that:
settings come from the environment, a worker is stopped by a signal, a job by its row. Flower needs
the questions, so these are answered, by name: a command that a later Celery or a library brings is
refused until it is listed here. Celery's own mark for a question does not serve: `hello` carries
it and revokes tasks, `memdump` and `objgraph` carry it and stop the event loop for seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from celery.worker.consumer.control import Control
from celery.worker.control import Panel

log = structlog.get_logger(__name__)
QUESTIONS = frozenset(
    {
        "active",
        "active_queues",
        "clock",
        "conf",
        "heartbeat",  # "say that you live, now": what listens to events asks so at its start
        "ping",
        "query_task",
        "registered",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    }
)
REFUSAL = "a worker of Surefoot answers questions and takes no commands"
TOLD_EVERY_S = 60.0  # one line in so long for each command, so that a flood of them fills no log
FIELDS = frozenset(
    {"method", "arguments", "destination", "reply_to", "ticket", "pattern", "matcher"}
)
UNKNOWN = "unknown"
LATEST_CLOCK = 2**53


class Refusals:
    """Counts what was refused, and writes the first of each command and then one line a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def add(self, command: object, why: str = REFUSAL) -> None:
        """`command`: anything a message may have said. Unknown names share one line."""
        name = command if isinstance(command, str) and command in Panel.data else UNKNOWN
        self._since[name] = self._since.get(name, 0) + 1
        now = self._clock()
        if now - self._told_at.get(name, float("-inf")) < TOLD_EVERY_S:
            return
        self._told_at[name] = now
        log.warning("control.refused", command=name, times=self._since.pop(name), why=why)


class Answers(dict[str, Callable[..., Any]]):
    """command -> what answers it; for a name that is not a question, the refusal."""

    def __init__(self, known: Mapping[str, Callable[..., Any]], refusals: Refusals) -> None:
        super().__init__({name: known[name] for name in QUESTIONS if name in known})
        self._refusals = refusals

    def __missing__(self, name: str) -> Callable[..., Any]:
        return partial(self._refuse, name)

    def _refuse(self, name: str, *_: Any, **__: Any) -> dict[str, str]:
        self._refusals.add(name)
        return {"error": REFUSAL}


class QuestionsOnly(Control):
    """Celery's mailbox of a worker, with the questions only."""

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self._refusals = Refusals()
        self._take = self.box.on_message
        self.box.node.handlers = Answers(Panel.data, self._refusals)
        self.box.on_message = self.on_message

    def on_message(self, body: Any, message: Any) -> None:
        """A message in the mailbox. One that is not of Celery's shape has no effect."""
        if why := misshapen(body, message.headers, self.box.node.mailbox.reply_exchange.name):
            self._refusals.add(None, why)
        else:
            self._take(body, message)


def misshapen(body: Any, headers: Any, replies: str) -> str | None:
    """Why this is not a question that may be looked at; None when it may be.

    `replies`: the exchange for answers. With another one a worker would write wherever the sender
    wants.
    """
    if (
        not isinstance(body, Mapping)
        or not isinstance(body.get("method"), str)
        or set(body) - FIELDS
    ):
        return "it is not a command"
    if body.get("pattern") or body.get("matcher"):
        return "it names workers by a pattern, and matching one can stop the event loop"
    if not isinstance(body.get("arguments") or {}, Mapping):
        return "its arguments are not an object"
    if not isinstance(body.get("destination"), list | tuple | None):
        return "its destination is not a list"
    if not isinstance(headers, Mapping) or not _is_clock(headers.get("clock")):
        return "its clock is not a number"
    return (
        None
        if _is_address(body.get("reply_to"), replies)
        else "its reply_to is not an address for answers"
    )


def _is_clock(value: Any) -> bool:
    return value is None or (isinstance(value, int) and 0 <= value <= LATEST_CLOCK)


def _is_address(value: Any, replies: str) -> bool:
    if value is None:
        return True
    named = isinstance(value, Mapping) and isinstance(value.get("routing_key"), str)
    return named and value.get("exchange") == replies
