"""Where the choreographed order is drilled: the stand-ins of `order`, and the four services with a
bus in this process.

The services run in threads beside a drill on real processes and find their databases by the
environment, as its workers do. A drill in one process drives them itself: threads that look for
work in real time took half of its processor time, and what came of a row depended on who was
faster. The engine may be killed as often as the drill likes; they are what it watches.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from surefoot.workers.sagas.order import stand_ins as of_order
from surefoot.workers.sagas.order.services.database import close_databases
from surefoot.workers.sagas.order.settings import order_settings
from surefoot.workers.sagas.order_choreographed.house import House
from surefoot.workers.sagas.order_choreographed.memory import MemoryBus
from surefoot.workers.sagas.order_choreographed.service import Service
from surefoot.workers.sagas.order_choreographed.services import SERVICES

QUICK = {
    "SUREFOOT_EVENTS_SWEEP_SECONDS": "0.05",
    "SUREFOOT_EVENTS_POLL_SECONDS": "0.05",
    "SUREFOOT_EVENTS_BACKOFF_SECONDS": "0.1",
    "SUREFOOT_EVENTS_ASK_SECONDS": "0.5",
}
PAUSE_S = 0.02  # they wait for a time of the real clock: a drill asks less often meanwhile


class Desks(of_order.StandIns):
    """What a drill may ask of the order's stand-ins, and the services behind their desks.

    `threads`: they run in them.
    """

    def __init__(
        self, bank: of_order.InProcessBank, house: House, bus: MemoryBus, threads: Sequence[Thread]
    ) -> None:
        super().__init__(bank)
        self._house, self._bus, self._threads = house, bus, threads

    def settle(self) -> None:
        """Let the services do all that there is to do just now.

        From the first time on nothing else drives them.
        """
        self._house.stop(self._threads)
        self._threads = ()
        busy, rounds = True, 0
        while busy:
            self._house.said.clear()
            self._house.send_once(self._bus)
            while self._bus.has_messages:
                self._bus.receive(self._take, 0.0)
            busy = self._house.work_once() > 0 or self._house.said.is_set()
            rounds += 1
        if rounds == 1:
            time.sleep(PAUSE_S)

    def _take(self, service: Service, body: bytes) -> None:
        if claimed := self._house.take(service, body):
            self._house.handle(service, claimed)


@contextmanager
def stand_ins() -> Iterator[Desks]:
    """The test environment of the order saga, with somebody at every desk."""
    with of_order.stand_ins() as world:
        folder = Path(order_settings().mail_target()).parent
        own = {
            "SUREFOOT_MAIL_DATABASE_URL": f"sqlite:///{folder / 'mail.sqlite'}",
            "SUREFOOT_EVENTS_SECRET": secrets.token_hex(16),
        }
        with of_order.environment(QUICK | own):
            bus = MemoryBus(SERVICES)
            house = House(SERVICES, lambda: bus)
            threads = house.start()
            try:
                yield Desks(world.bank, house, bus, threads)
            finally:
                house.stop(threads)
                close_databases()
