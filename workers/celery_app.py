"""The Celery application of the workers: `celery -A surefoot.workers.celery_app worker`, and of
Flower.

Importing it reads the sagas and opens nothing: no store, no broker.
"""

from __future__ import annotations

import os
from typing import Any

from celery import signals, states

from surefoot.app import environment, logs, metrics
from surefoot.app.config import or_exit, settings
from surefoot.app.delivery.celery_settings import OwnCelery, adjust, check, own_app
from surefoot.app.delivery.producer import broker_settings
from surefoot.app.engine.worker.loop import before_ack
from surefoot.app.saga.fault_targets import check_targets
from surefoot.app.store import faults as fault_store
from surefoot.app.store import schema_version
from surefoot.app.store.session import open_engine
from surefoot.workers import boot, leftovers
from surefoot.workers.drain import Drain
from surefoot.workers.lanes import broker_url, queues, registry, served_lanes, transport_options
from surefoot.workers.lease_renewer import LeaseRenewer
from surefoot.workers.reconciliation import ReconciliationTrigger
from surefoot.workers.tasks import register_all

MAIN_PID = os.getpid()


def make_app() -> OwnCelery:
    """The app with a task for each operation, the queues of this worker's lanes, the keeper and the
    drain.

    Raises: SettingsError when its settings are not ours.
    """
    app = own_app("surefoot")
    lanes = served_lanes(registry())
    adjust(
        app,
        **broker_settings(broker_url()),
        task_queues=queues(lanes) or None,
        broker_transport_options=transport_options(app.conf.broker_transport_options, registry()),
    )
    register_all(app, registry())
    app.steps["worker"].add(LeaseRenewer)
    app.steps["worker"].add(Drain)
    app.steps["worker"].add(ReconciliationTrigger)
    check(app)
    return app


# the command line of Celery has made CELERY_BROKER_URL of BROKER_URL, and would obey it first
environment.clear_of_libraries()
with or_exit():
    celery_app = make_app()
    check_targets(settings().fault_plan, registry())
if settings().faults:
    fault_store.arm(settings(), boot.db)

    @signals.task_postrun.connect(weak=False)
    def _before_ack(sender: Any, state: str, **_: Any) -> None:
        """After chain and chord have gone on, and before the main process hears of it.

        What is put back is not acknowledged.
        """
        if state != states.REJECTED:
            before_ack((sender.name, *getattr(sender.request, "ran_on", ())))


@signals.setup_logging.connect(weak=False)
def _set_up_logging(**_: Any) -> None:
    logs.configure()  # and Celery leaves logging alone


@signals.worker_init.connect(weak=False)
def _check_settings(sender: Any, **_: Any) -> None:
    """Once more: sagas may bring handlers of Celery's signals, and its command line has options."""
    with or_exit():
        check(celery_app, sender)


@signals.worker_init.connect(weak=False)
def _count(**_: Any) -> None:
    metrics.start(settings().home)  # not at import: Flower imports this module too


@signals.worker_init.connect(weak=False)
def _fit_the_store(**_: Any) -> None:
    """An engine of its own: what is forked later inherits no connection of it."""
    db = open_engine(settings().store_url, silence_s=settings().store_silence_seconds)
    try:
        with or_exit():
            schema_version.check_if_there(db)
    finally:
        db.dispose()


@signals.worker_process_init.connect(weak=False)
def _start_child(**_: Any) -> None:
    # Celery has asked the kernel to kill this child when its parent ends; if that was already over,
    # nobody will.
    if os.getppid() != MAIN_PID:
        os._exit(os.EX_SOFTWARE)
    boot.forget_inherited()
    leftovers.begin()
    logs.hide_prints()
    metrics.tidy()


@signals.worker_shutdown.connect(weak=False)
def _finish(sender: Any, **_: Any) -> None:
    keeper = getattr(sender, "keeper", None)
    if keeper is not None:
        keeper.finish()
