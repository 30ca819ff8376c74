"""The relay: rings again whatever the broker lost, and enforces every dated promise of the store.

Any number may be started; one is active, by the lease `relay`, the others stand by and take over
when it lapses. Each round renews the lease by its fence before it sweeps: a relay that slept
through its lease stops at once. Two of them for a moment do no harm, since every sweep repeats its
guard in the statement; the lease only saves work.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from surefoot.app import logs, metrics
from surefoot.app.config import Settings, or_exit, settings
from surefoot.app.delivery.broker import probe
from surefoot.app.delivery.dead_lane import DeadLane
from surefoot.app.delivery.producer import producer_app
from surefoot.app.delivery.publisher import Publisher
from surefoot.app.engine.jobs.dispatch import FaultInjectingPublisher
from surefoot.app.engine.jobs.fairness import InTurn
from surefoot.app.engine.relay.duties.dead_letter_queue import Mirror
from surefoot.app.engine.relay.relay import Sweeper
from surefoot.app.errors import TryLater
from surefoot.app.metrics.counters import RELAY_REPAIRS, SWEEPS
from surefoot.app.store import faults as fault_store
from surefoot.app.store import leases, schema_version
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import open_engine
from surefoot.workers import liveness
from surefoot.workers.lanes import broker_url
from surefoot.workers.shutdown import told_to_stop

log = structlog.get_logger(__name__)
LEASE = "relay"
OUTAGE_PAUSE_S = 1.0


@dataclass
class Relay:
    """One relay process. `run_once` is its whole duty; `run` repeats it."""

    db: Engine
    sweeper: Sweeper
    settings: Settings
    holder: str
    fence: int | None = None
    reachable: bool = True

    def run_once(self) -> bool:
        """Renew or try for the lease, and sweep when it is ours. Returns whether it was.

        Raises: whatever the store does; trouble of the broker is the publisher's and the sweep's to
        bear.
        """
        ttl_s = self.settings.lease_seconds
        if self.fence is not None and not leases.renew(self.db, LEASE, self.fence, ttl_s):
            log.warning("relay.lease_lost", fence=self.fence)
            self.fence = None
        if self.fence is None:
            self.fence = leases.acquire(self.db, LEASE, self.holder, ttl_s)
            if self.fence is None:
                return False
            log.info("relay.active", holder=self.holder, fence=self.fence)
        for found, count in self.sweeper.run_once().items():
            RELAY_REPAIRS.add(count, kind=found)
        SWEEPS.add(result="ok")
        return True

    def run(self, halt: threading.Event) -> None:
        """Rounds until `halt`, then the lease is given up.

        One line of log for each change of the store's state.
        """
        log.info("relay.started", holder=self.holder)
        while not halt.is_set():
            pause_s = self._round()
            liveness.touch()
            self._pause(halt, pause_s)
        self.release()
        log.info("relay.stopped")

    def _round(self) -> float:
        """One round that never raises; returns how long to wait before the next."""
        try:
            active = self.run_once()
        except Exception as error:
            # A store that is away, or a mistake in a sweep: either way the relay must be there when
            # it is over.
            if self.reachable:
                log.error(
                    "relay.round_failed",
                    error=repr(error),
                    exc_info=not isinstance(error, TryLater),
                )
            self.reachable = False
            SWEEPS.add(result="failed")
            return max(OUTAGE_PAUSE_S, self.settings.sweep_seconds)
        if not self.reachable:
            self.reachable = True
            log.info("relay.round_works")
        # A standby asks often enough to take over within a second or so of the lease's end, and not
        # for each sweep.
        return (
            self.settings.sweep_seconds
            if active
            else max(self.settings.sweep_seconds, min(1.0, self.settings.lease_seconds / 5))
        )

    def _pause(self, halt: threading.Event, pause_s: float) -> None:
        """Until the next round; meanwhile lanes are refilled whose tenants have more to do than
        leaves at once.
        """
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            busy = self.fence is not None and self.reachable and self.sweeper.held_back
            if halt.wait(min(left_s, self.settings.turn_seconds) if busy else left_s):
                return
            if busy:
                self._take_turns()

    def _take_turns(self) -> None:
        try:
            self.sweeper.take_turns()
        except Exception as error:  # the next round tells of it
            log.info("relay.turn_failed", error=repr(error))

    def release(self) -> None:
        """Give up the lease, so that a standby takes over at once."""
        if self.fence is None:
            return
        try:
            leases.release(self.db, LEASE, self.fence)
        except Exception as error:  # it lapses by itself
            log.warning("relay.lease_not_released", error=repr(error))
        self.fence = None


def make_relay(with_settings: Settings | None = None) -> Relay:
    """A relay for this process's settings."""
    chosen = with_settings or settings()
    db = open_engine(chosen.store_url, silence_s=chosen.store_silence_seconds)
    fault_store.arm(chosen, lambda: db)
    announced = FaultInjectingPublisher(
        Publisher(producer_app(broker_url(), "relay"), chosen.publish_pause_seconds)
    )
    publisher = InTurn(announced, db, chosen)
    return Relay(
        db=db,
        sweeper=Sweeper(
            db, chosen, publisher, probe(broker_url()), Mirror(db, chosen, DeadLane(broker_url()))
        ),
        settings=chosen,
        holder=f"{socket.gethostname()}:{os.getpid()}:{new_id()}",
    )


def main() -> None:
    halt = told_to_stop()
    logs.configure()
    with or_exit():
        metrics.start(settings().home)
        relay = make_relay()
        schema_version.check_if_there(relay.db)
    try:
        relay.run(halt)
    finally:
        relay.db.dispose()


if __name__ == "__main__":
    main()
