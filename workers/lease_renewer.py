"""The keeper: a thread of the worker's main process that keeps alive what its children run, and
nothing else.

It renews only operations that one of our live children is executing (Celery's active requests), by
one statement for all: renewing by the worker alone would keep an operation alive whose child went
on to other work. The same answer tells which are past their hard limit; their children are killed,
and Celery then reports the lost child (`surefoot.workers.request`). A thread, not a timer of the
event loop: the loop stands still while the broker is away, and leases must not.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from celery.worker.components import Pool

from surefoot.app.config import settings
from surefoot.app.delivery.queues import of_lane
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import AtWork, WorkerProcess
from surefoot.app.store import catalogue
from surefoot.workers import boot, liveness
from surefoot.workers.children import end_what_it_started, kill_child
from surefoot.workers.lanes import lanes_of, registry, served_lanes

log = structlog.get_logger(__name__)
JOIN_S = 3.0
COLLECT_S = 0.5


def active_operations() -> dict[str, int]:
    """operation id -> pid of the child that executes it now."""
    for _ in range(10):
        try:
            return {request.id: request.worker_pid or 0 for request in list(state.active_requests)}
        except RuntimeError:  # the event loop changed the set under us
            continue
    return {}


class LeaseRenewer(bootsteps.StartStopStep):
    """Started when the pool stands; ended by `finish`, when the pool is gone too
    (`worker_shutdown`).
    """

    requires = (Pool,)

    def __init__(self, worker: Any, **_: Any) -> None:
        self.worker = worker
        self.registered = False
        self.digests: list[str] = []  # of the definitions that this worker has
        self.signed_on = False  # at least once
        self.reachable = True
        self._connected = False  # to the broker, at least once
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        worker.keeper = self

    def start(self, worker: Any) -> None:
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()
        if getattr(worker, "hub", None) is not None:
            # Celery hears of a child's end when its pipe closes, a moment before the child can be
            # collected. When it looks too early it looks again only after 5 s, and so late comes
            # the second attempt.
            worker.hub.timer.call_repeatedly(COLLECT_S, worker.pool.maintain_pool)

    def stop(self, worker: Any) -> None:
        """Celery stops this step before the pool: children may still run, so their leases are kept
        until `finish`.
        """

    def terminate(self, worker: Any) -> None:
        """The children are being killed: there is nothing left to keep."""
        self.finish()

    def finish(self) -> None:
        """The worker ends: what still runs is handed back, and the register says so. Once."""
        if self._thread is None:
            return
        self._halt.set()
        self._thread.join(JOIN_S)
        self._thread = None
        try:
            leases.release_on_shutdown(boot.db(), boot.publisher(), boot.BOOT)
            leases.worker_stopped(boot.db(), boot.BOOT)
        except Exception as error:  # leases run out by themselves
            log.warning("worker.not_signed_off", error=repr(error))

    def _run(self) -> None:
        pause_s = 0.0
        while not self._halt.wait(pause_s):
            try:
                with boot.no_fork():
                    self.run_once()
                self._tell(True)
            except (
                Exception
            ) as error:  # the store is away: leases run, and everything here is tried again
                self._tell(False, error)
            if self.signed_on:  # before that it is not of use to anybody
                liveness.touch()
            pause_s = settings().heartbeat_seconds

    def run_once(self) -> None:
        """Sign on when that is still to do, renew, kill what is past its limit.

        Raises: whatever the store does.
        """
        if not self.registered:
            self.sign_on()
        running = active_operations()
        beat = leases.renew_leases(boot.db(), settings(), boot.BOOT, list(running))
        self.registered = leases.worker_seen(boot.db(), boot.BOOT, self.digests, self.at_work())
        for operation_id, pid, why in beat.overdue:
            if running.get(operation_id) == pid and kill_child(pid):
                end_what_it_started(pid)
                log.warning("operation.killed", operation=operation_id, pid=pid, why=why)

    def at_work(self) -> AtWork:
        """Asked of Celery's consumer and of the pool: a lane that was given up is not consumed,
        whatever was announced.
        """
        consumer = getattr(getattr(self.worker, "consumer", None), "task_consumer", None)
        if consumer is not None:
            self._connected = True
            queues = [
                of_lane(queue.name)
                for queue in list(consumer.queues)
                if consumer.consuming_from(queue)
            ]
        else:
            queues = []
        pool = getattr(getattr(self.worker, "pool", None), "_pool", None)
        children = getattr(pool, "_pool", None)
        return AtWork(
            tuple(sorted(queues)) if self._connected else None,
            len(children) if children is not None else None,
        )

    def sign_on(self) -> None:
        """Write the definitions this worker has and the worker itself into the store."""
        known = registry()
        served = served_lanes(known)
        if strange := sorted(set(served) - set(lanes_of(known))):
            log.warning(
                "worker.unknown_lanes",
                lanes=strange,
                error="no saga here has a step on these lanes (SUREFOOT_LANES)",
            )
        catalogue.register(boot.db(), known.all())
        self.digests = [saga.digest for saga in known.all()]
        leases.register_worker(
            boot.db(),
            boot.BOOT,
            WorkerProcess(
                host=socket.gethostname(),
                pid=os.getpid(),
                lanes=list(served),
                digests=self.digests,
                concurrency=self.worker.pool.num_processes if self.worker.pool else 0,
            ),
        )
        self.registered = self.signed_on = True

    def _tell(self, reachable: bool, error: Exception | None = None) -> None:
        if reachable != self.reachable:
            self.reachable = reachable
            if reachable:
                log.info("store.reachable")
            else:
                log.warning("store.unreachable", error=repr(error))
