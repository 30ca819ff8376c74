"""Where the choreographed order is drilled: the stand-ins of `order`, and the four services with a bus in this process.

The services run in threads beside the drill and find their databases by the environment, as workers started meanwhile
do. The engine may be killed as often as the drill likes; they are what it watches.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surefoot.workers.sagas.order import stand_ins as of_order
from surefoot.workers.sagas.order.services.database import close_databases
from surefoot.workers.sagas.order.settings import order_settings
from surefoot.workers.sagas.order_choreographed.house import House
from surefoot.workers.sagas.order_choreographed.memory import MemoryBus
from surefoot.workers.sagas.order_choreographed.services import SERVICES

QUICK = {
    "SUREFOOT_EVENTS_SWEEP_SECONDS": "0.05",
    "SUREFOOT_EVENTS_POLL_SECONDS": "0.05",
    "SUREFOOT_EVENTS_BACKOFF_SECONDS": "0.1",
    "SUREFOOT_EVENTS_ASK_SECONDS": "0.5",
}


@contextmanager
def stand_ins() -> Iterator[of_order.StandIns]:
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
                yield world
            finally:
                house.stop(threads)
                close_databases()
