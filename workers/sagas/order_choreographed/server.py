"""The services as a process: `surefoot choreography serve`."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from surefoot.app import logs, metrics
from surefoot.app.config import or_exit, settings
from surefoot.workers import liveness
from surefoot.workers.lanes import broker_url
from surefoot.workers.sagas.order.services.database import close_databases
from surefoot.workers.sagas.order_choreographed import trust
from surefoot.workers.sagas.order_choreographed.bus import KombuBus
from surefoot.workers.sagas.order_choreographed.house import House
from surefoot.workers.sagas.order_choreographed.services import SERVICES
from surefoot.workers.shutdown import told_to_stop

log = structlog.get_logger("surefoot.events")


def serve(only: Sequence[str] = ()) -> None:
    """Run these services (all of them when none is named) until SIGTERM or SIGINT."""
    with or_exit():
        trust.secrets()
    halt = told_to_stop()
    logs.configure()
    metrics.start(settings().home)
    services = [service for service in SERVICES if not only or service.name in only]
    for service in services:
        service.database.engine()
    url = broker_url()
    house = House(
        services, lambda: KombuBus(url, services, SERVICES), owners=SERVICES, beat=liveness.touch
    )
    threads = house.start()
    log.info("events.serving", services=[service.name for service in services])
    halt.wait()
    house.stop(threads)
    close_databases()
    log.info("events.stopped")
