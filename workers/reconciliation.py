"""Reconciliation's patrol: now and then one of the workers has the services asked about the next
jobs.

A worker has the sagas' code and knows where their services are; the relay does not. The readers run
in a process of their own (`surefoot reconcile --next`): whatever they open, hang in or break, this
worker and its children are none the worse, and a reader that hangs ends with it. Which worker it
is, the store decides: each round is begun by one conditional UPDATE.
"""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import structlog
from celery import bootsteps
from celery.worker.components import Pool

from surefoot.app.config import settings
from surefoot.app.store import reconciliations
from surefoot.app.store.reconciliations import EFFECTS
from surefoot.app.store.session import asking, execute_single
from surefoot.app.supervisor.commands import surefoot
from surefoot.workers import boot
from surefoot.workers.lanes import registry

log = structlog.get_logger(__name__)
LOOK_S = 15.0  # how often a worker looks whether a round is due, at most
ENDS_S = 2.0


class ReconciliationTrigger(bootsteps.StartStopStep):
    """A thread of the main process, where some saga here has an effect reader."""

    requires = (Pool,)

    def __init__(self, worker: Any, **_: Any) -> None:
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: Any) -> None:
        if settings().reconcile_seconds and any(saga.effect_readers for saga in registry().all()):
            self._thread = threading.Thread(target=self._run, name="patrol", daemon=True)
            self._thread.start()

    def stop(self, worker: Any) -> None:
        self._halt.set()
        if self._thread is not None:
            self._thread.join(ENDS_S)

    terminate = stop

    def _run(self) -> None:
        every_s = settings().reconcile_seconds
        while not self._halt.wait(min(every_s, LOOK_S)):
            try:
                if self.is_ours(every_s):
                    self.go(every_s)
            except (
                Exception
            ) as error:  # the store is away: the round is not begun, and somebody begins it later
                log.warning("patrol.failed", error=repr(error))

    def is_ours(self, every_s: float) -> bool:
        """Whether a round is due and this worker has begun it."""
        with boot.no_fork():
            with asking(boot.db()) as connection:
                if not reconciliations.is_due(connection, EFFECTS, every_s):
                    return False
            return (
                execute_single(boot.db(), lambda tx: reconciliations.begin(tx, EFFECTS, every_s))
                is not None
            )

    def go(self, most_s: float) -> int:
        """One patrol.

        Returns its exit code; it is ended when it takes longer than `most_s`, or when this worker
        stops.
        """
        child = subprocess.Popen(
            surefoot("reconcile", "--next", "--json"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        ended = threading.Timer(most_s, child.kill)
        ended.start()
        try:
            while child.poll() is None and not self._halt.is_set():
                try:
                    _, told = child.communicate(timeout=0.5)
                except subprocess.TimeoutExpired:
                    continue
                if child.returncode:
                    log.warning(
                        "patrol.failed",
                        code=child.returncode,
                        error=told.decode("utf-8", "replace")[-500:],
                    )
        finally:
            ended.cancel()
            if child.poll() is None:
                child.kill()
                child.communicate()
        return child.returncode
