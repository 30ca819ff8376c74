"""All services of one process: threads that take events in and handle them, and one that sends and
looks at the clock.

Every duty is a function that does it once; the threads only repeat it. None of them holds anything
that its rows do not: a process may be killed at any line, and any number of processes may run the
same services.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import OperationalError

from surefoot.workers.sagas.order_choreographed import trust
from surefoot.workers.sagas.order_choreographed.bus import Bus, BusDown
from surefoot.workers.sagas.order_choreographed.desk import Claimed
from surefoot.workers.sagas.order_choreographed.events import NoEvent
from surefoot.workers.sagas.order_choreographed.service import Service
from surefoot.workers.sagas.order_choreographed.settings import event_settings

log = structlog.get_logger("surefoot.events")
OUTAGES = (
    BusDown,
    OperationalError,
)  # the broker or a database is away: a sentence says it, where a mistake needs its traceback
OUTAGE_PAUSE_S = 1.0
STOP_S = 10.0


@dataclass
class House:
    """`open_bus`: makes a connection to the broker, one for each thread.

    `owners`: all services, where this runs some of them.
    """

    services: Sequence[Service]
    open_bus: Callable[[], Bus]
    owners: Sequence[Service] = ()
    halt: threading.Event = field(default_factory=threading.Event)
    said: threading.Event = field(
        default_factory=threading.Event
    )  # somebody has put something into an outbox
    beat: Callable[[], None] = lambda: None  # called each time the sender's loop has gone round
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _look_at: float = 0.0  # when a reader looks next for what is due; one does for all

    def start(self) -> list[threading.Thread]:
        """Start the threads."""
        duties = [
            ("sender", self._send_for_ever),
            *((f"reader-{n}", self._read_for_ever) for n in range(event_settings().threads)),
        ]
        threads = [
            threading.Thread(target=duty, name=f"events-{name}", daemon=True)
            for name, duty in duties
        ]
        for thread in threads:
            thread.start()
        return threads

    def stop(self, threads: Sequence[threading.Thread]) -> None:
        """Ask the threads to end, and wait for those that do within STOP_S.

        What the others hold is taken over later.
        """
        self.halt.set()
        self.said.set()
        for thread in threads:
            thread.join(STOP_S)

    # --- each duty once ---------------------------------------------------------------------------
    def send_once(self, bus: Bus) -> None:
        """Do what the clock asks for, then send what is in the outboxes. Raises: BusDown."""
        for service in self.services:
            service.remind()
        for service in self.services:
            while service.send(bus.send) >= event_settings().sweep_rows:
                pass

    def work_once(self) -> int:
        """Handle one due event of each service: one that failed before, or whose process died.

        Returns how many.
        """
        count = 0
        for service in self.services:
            if claimed := service.take_over():
                self.handle(service, claimed)
                count += 1
        return count

    def take(self, service: Service, body: bytes) -> Claimed | None:
        """A message has come: keep the event, or a word about what it was.

        Then it may be acknowledged.
        """
        try:
            message = trust.believed(body, service.name, self.owners or self.services)
        except NoEvent as error:
            service.quarantine(hashlib.sha256(body).hexdigest(), error)
            return None
        claimed = service.arrive(message)
        self.said.set()  # a repeat has something to send as well
        return claimed

    def handle(self, service: Service, claimed: Claimed) -> None:
        """Do what an event asks for that was taken."""
        service.handle(claimed)
        self.said.set()

    # --- for ever ---------------------------------------------------------------------------------
    def _send_for_ever(self) -> None:
        self._for_ever("sender", self._send_round)

    def _send_round(self, bus: Bus) -> None:
        self.said.wait(event_settings().sweep_seconds)
        self.said.clear()
        self.send_once(bus)

    def _read_for_ever(self) -> None:
        taken: list[tuple[Service, Claimed]] = []

        def take(service: Service, body: bytes) -> None:
            if claimed := self.take(service, body):
                taken.append((service, claimed))

        def read_round(bus: Bus) -> None:
            try:
                bus.receive(take, event_settings().sweep_seconds)
            finally:
                while taken:
                    self.handle(*taken.pop())
            while self._may_look() and self.work_once() and not self.halt.is_set():
                self._look_at = 0.0  # there may be more

        self._for_ever("reader", read_round)

    def _may_look(self) -> bool:
        with self._looking:
            if time.monotonic() < self._look_at:
                return False
            self._look_at = time.monotonic() + event_settings().sweep_seconds
            return True

    def _for_ever(self, name: str, round_of: Callable[[Bus], None]) -> None:
        """Rounds until `halt`. One line of log when trouble begins, one when it is over."""
        bus, well = self.open_bus(), True
        while not self.halt.is_set():
            if name == "sender":
                self.beat()
            try:
                round_of(bus)
            # the broker, a database, rubbish in a queue: the thread is there when it is over
            except Exception as error:
                if well:
                    log.warning(
                        f"events.{name}_stopped",
                        error=repr(error),
                        exc_info=not isinstance(error, OUTAGES),
                    )
                well = False
                self.halt.wait(OUTAGE_PAUSE_S)
                continue
            if not well:
                log.info(f"events.{name}_works")
                well = True
        bus.close()
