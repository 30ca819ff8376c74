"""What a running step sees and may ask."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from surefoot.app.rules.states import Kind
from surefoot.app.saga.naming import DEFAULT_TENANT, effect_key
from surefoot.app.saga.values import adapter, to_json, unreadable


class Port(Protocol):
    """Where a context's questions go: the engine in production, a test's own otherwise."""

    def progress(self, fraction: float, message: str) -> None: ...

    def checkpoint(self, value: Any) -> None:
        """Keep `value` (JSON) durably; raises LeaseLost when this attempt may not write any more."""

    def check(self) -> None:
        """Raise StopRequested when the job has turned, LeaseLost when the lease is lost."""

    def now(self) -> datetime:
        """The store's time."""


class NullPort:
    """Keeps nothing and never objects. For tests of steps."""

    def progress(self, fraction: float, message: str) -> None:
        return None

    def checkpoint(self, value: Any) -> None:
        return None

    def check(self) -> None:
        return None

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Context:
    """One attempt of one operation.

    `attempt`: its number, from 1. `fence`: the claim's number, which only grows; services refuse an
    older one.
    `tenant`: whose job it is, by the tenant's name, which never changes. What a step names by
    itself (a row's key, a file, a
    lane of a service) is shared by all tenants unless it names the tenant too; `key` need not, for
    job ids are unique.
    `deadline`: when this attempt must be over, on `time.monotonic()`; cap every call's time-out
    with `remaining()`.
    `traceparent`: of the request that the job came from (W3C), for the header of calls to services;
    None when nothing told one.
    `last_checkpoint`: the JSON value that this or an earlier attempt kept last, None when there is
    none.
    """

    job_id: str
    saga: str
    step: str
    item: str = ""
    kind: str = Kind.ACTION
    attempt: int = 1
    fence: int = 1
    deadline: float = math.inf
    tenant: str = DEFAULT_TENANT
    traceparent: str | None = None
    last_checkpoint: Any = None
    port: Port = field(default_factory=NullPort, repr=False)

    @property
    def key(self) -> str:
        """The idempotency key of this operation's effect: the same on every attempt, for ever."""
        return effect_key(self.job_id, self.step, self.item, self.kind)

    @property
    def action_key(self) -> str:
        """The key of the step's action: in an undo, a confirmation and a probe it names the effect
        in question.
        """
        return effect_key(self.job_id, self.step, self.item, Kind.ACTION)

    def remaining(self) -> float:
        """Seconds left of this attempt, never below 0."""
        return max(0.0, self.deadline - time.monotonic())

    @cached_property
    def log(self) -> Any:
        """A structlog logger that knows job, step, kind, attempt and fence."""
        return structlog.get_logger("surefoot.step").bind(
            job=self.job_id,
            saga=self.saga,
            step=self.step,
            item=self.item,
            kind=self.kind,
            attempt=self.attempt,
            fence=self.fence,
        )

    def progress(self, fraction: float, message: str = "") -> None:
        """Show how far this step is: `fraction` from 0 to 1.

        What cannot be shown is cut or left out, for a progress bar is not a reason to fail. Raises:
        LeaseLost when this attempt may not write any more.
        """
        self.port.progress(_share(fraction), _text(message))

    def checkpoint(self, value: Any) -> None:
        """Keep `value` durably, so that a later attempt finds it as `last_checkpoint` (as JSON:
        tuples come back as lists).

        Raises: TypeError when it cannot be kept as JSON; ValueError when it is too large; LeaseLost
        when this attempt may not write any more.
        """
        kept = to_json(value, f"the checkpoint of step {self.step}")
        self.port.checkpoint(kept)
        self.last_checkpoint = kept

    def checkpoint_as(self, kind: Any) -> Any:
        """The last checkpoint as this type (a pydantic model, a dataclass, `dict[str, int]`), None
        when there is none.

        Raises: Unreadable when this code cannot read what an earlier release kept: the operation
        then waits for code that can.
        """
        if self.last_checkpoint is None:
            return None
        try:
            return adapter(kind).validate_python(self.last_checkpoint)
        except ValidationError as error:
            refused = unreadable(error, f"the checkpoint of step {self.step}", kind)
            refused.details["began"] = True
            raise refused from None

    def now(self) -> datetime:
        """The time, in UTC, by the clock that the engine goes by: the store's.

        In a drill it is virtual, and passes with the job.

        Asks the store each time. Raises: StoreUnavailable.
        """
        return self.port.now()

    def check(self) -> None:
        """Ask whether to go on.

        Raises StopRequested when the job has turned, LeaseLost when the lease is lost.
        """
        self.port.check()


def _share(fraction: Any) -> float:
    try:
        share = float(fraction)
    except Exception:  # a developer's own number
        return 0.0
    return 0.0 if math.isnan(share) else min(1.0, max(0.0, share))


def _text(message: Any) -> str:
    try:
        return str.__str__(message) if isinstance(message, str) else str(message)
    except Exception:  # a developer's own object
        return ""
