"""Where a running step's questions go: its progress, its checkpoints, and whether it may go on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.jobs.transaction import job_transaction
from surefoot.app.errors import LeaseLost, StopRequested, StoreUnavailable
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import OpState
from surefoot.app.secrecy import NONE, Secrets, scrub
from surefoot.app.store import attempt_writes, operation_reads
from surefoot.app.store.session import asking, execute_single, time_of, transaction
from surefoot.app.texts import json_bytes, storable

PROGRESS_EVERY_S = 0.5  # more often is not shown, and each is a write
SIGN_EVERY_S = (
    1.0  # a check is a sign of progress where a step has a stall time-out; more often is not noted
)


@contextmanager
def unrung() -> Iterator[None]:
    """Defer the signal of a step's limit while one of our statements runs: raised within a driver
    it would be taken for a broken connection. A statement has a limit of its own
    (SUREFOOT_STORE_SILENCE_SECONDS); the signal comes when it has ended.

    The handler is replaced and the signal not blocked: another thread of the process would take a
    blocked one, and Python would run the handler in this one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    rung: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, _frame: rung.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler if handler is not None else signal.SIG_DFL)
        if rung and callable(handler):
            handler(rung[0], None)


class StepHandle:
    """The engine's answer to a context. Every write names the attempt's token."""

    def __init__(
        self, db: Engine, settings: Settings, attempt: Attempt, secrets: Secrets = NONE
    ) -> None:
        self._db, self._settings, self._attempt, self._secrets = db, settings, attempt, secrets
        self._last_progress = self._last_sign = -max(PROGRESS_EVERY_S, SIGN_EVERY_S)

    def progress(self, fraction: float, message: str) -> None:
        if fraction < 1.0 and time.monotonic() - self._last_progress < PROGRESS_EVERY_S:
            return
        self._last_progress = time.monotonic()
        with suppress(StoreUnavailable, SQLAlchemyError):  # a progress bar is not a reason to fail
            told = storable(scrub(message, self._secrets), self._settings.progress_chars)
            self._write({"progress": {"fraction": fraction, "message": told}})

    def checkpoint(self, value: Any) -> None:
        size, most = len(json_bytes(value)), self._settings.checkpoint_bytes
        if size > most:
            raise ValueError(
                f"the checkpoint has {size} bytes; at most {most} are kept (SUREFOOT_CHECKPOINT_BYTES)"
            )
        self._write({"checkpoint": value})

    def check(self) -> None:
        with unrung(), asking(self._db, name="handle.check") as connection:
            row = operation_reads.operation(connection, self._attempt.operation_id)
        if row is None or row.token != self._attempt.token or row.state != OpState.RUNNING:
            raise LeaseLost
        if row.stop_requested:
            raise StopRequested
        if row.stall_s is not None and time.monotonic() - self._last_sign >= min(
            SIGN_EVERY_S, row.stall_s / 4
        ):
            self._write({})

    def now(self) -> datetime:
        with unrung(), asking(self._db, name="handle.now") as connection:
            return time_of(connection)

    def record(self, event: HistoryEvent) -> None:
        """A line of history about this attempt.

        Raises: LeaseLost when it is not this attempt's to say any more.
        """

        def work(tx: Connection) -> None:
            with job_transaction(tx, self._attempt.job_id) as job_tx:
                row = operation_reads.operation(tx, self._attempt.operation_id)
                if row is None or row.token != self._attempt.token or row.state != OpState.RUNNING:
                    raise LeaseLost
                job_tx.record(event, row)

        transaction(self._db, work, name="handle.record")

    def _write(self, values: dict[str, Any]) -> None:
        attempt, self._last_sign = self._attempt, time.monotonic()
        with unrung():
            landed = execute_single(
                self._db,
                lambda tx: attempt_writes.note_progress(
                    tx, attempt.operation_id, attempt.token, values
                ),
                name="handle.write",
            )
        if not landed:
            raise LeaseLost
