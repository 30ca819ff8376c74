"""SIGTERM: take nothing more, let what runs end, hand back what does not.

Celery's soft shutdown sleeps inside a signal handler, so nothing is acknowledged while it lasts and
it never ends early. Here the handler only raises a flag. The event loop stops consuming and goes on
acknowledging; a thread waits until nothing runs, or until SUREFOOT_SOFT_SHUTDOWN_SECONDS have
passed, kills the children that are left, hands their operations back at no cost of an attempt, and
lets Celery stop. A second signal means: now.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from celery.worker.components import Pool

from surefoot.app.config import settings
from surefoot.app.engine.worker import leases
from surefoot.workers import boot
from surefoot.workers.children import kill_child
from surefoot.workers.lease_renewer import active_operations

log = structlog.get_logger(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_S = 0.1
LOOP_S = 0.25  # how soon the event loop notices


class Drain(bootsteps.StartStopStep):
    """Installs the handlers once the pool stands; the children forked before and after ignore both
    signals.
    """

    requires = (Pool,)

    def __init__(self, worker: Any, **_: Any) -> None:
        self.worker = worker
        self.pid = os.getpid()
        self.asked = threading.Event()
        self.hurry = threading.Event()
        self._cancelled = False

    def start(self, worker: Any) -> None:
        for number in SIGNALS:
            signal.signal(number, self.on_signal)
        threading.Thread(target=self._wait, name="drain", daemon=True).start()
        if getattr(worker, "hub", None) is not None:
            worker.hub.timer.call_repeatedly(LOOP_S, self.stop_consuming)

    def stop(self, worker: Any) -> None:
        """Nothing: the thread ends with the process."""

    terminate = stop

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a child between its fork and its own handlers
            return
        (self.hurry if self.asked.is_set() else self.asked).set()

    def stop_consuming(self) -> None:
        """In the event loop: give up the queues. What was on its way goes back to the broker."""
        consumer = self.worker.consumer
        if (
            self.asked.is_set()
            and not self._cancelled
            and consumer is not None
            and consumer.task_consumer is not None
        ):
            self._cancelled = True
            consumer.task_consumer.cancel()

    def _wait(self) -> None:
        self.asked.wait()
        limit_s = settings().soft_shutdown_seconds
        log.info("worker.draining", running=len(active_operations()), limit_s=limit_s)
        until = time.monotonic() + limit_s
        while active_operations() and time.monotonic() < until and not self.hurry.is_set():
            time.sleep(LOOK_S)
        left = active_operations()
        if not left:
            state.should_stop = os.EX_OK
            return
        boot.handing_back.set()
        for pid in left.values():
            kill_child(pid)
        try:
            with boot.no_fork():
                handed_back = leases.release_on_shutdown(boot.db(), boot.publisher(), boot.BOOT)
            log.warning("worker.handed_back", operations=handed_back)
        except Exception as error:  # their leases run out instead
            log.warning("worker.not_handed_back", operations=len(left), error=repr(error))
        state.should_terminate = os.EX_OK
