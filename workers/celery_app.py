"""The Celery application of the workers: `celery -A workers.celery_app worker`, and of Flower.

Importing it reads the sagas and opens nothing: no store, no broker.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, signals

from workers import boot
from workers.drain import Drain
from workers.keeper import Keeper
from workers.lanes import broker_url, queues, registry, served_lanes, visibility_timeout_s
from workers.tasks import register_all

MAIN_PID = os.getpid()


def make_app() -> Celery:
    """The app with a task for each operation, the queues of this worker's lanes, the keeper and the drain."""
    app = Celery("surefoot", fixups=[])
    app.config_from_object("celeryconfig")
    lanes = served_lanes(registry())
    app.conf.update(
        broker_url=broker_url(),
        task_queues=queues(lanes) or None,
        broker_transport_options={**app.conf.broker_transport_options, "visibility_timeout": visibility_timeout_s(lanes)},
    )
    register_all(app, registry())
    app.steps["worker"].add(Keeper)
    app.steps["worker"].add(Drain)
    return app


celery_app = make_app()


@signals.worker_process_init.connect(weak=False)
def _start_child(**_: Any) -> None:
    # Celery has asked the kernel to kill this child when its parent ends; if that was already over, nobody will.
    if os.getppid() != MAIN_PID:
        os._exit(os.EX_SOFTWARE)
    boot.forget_inherited()


@signals.worker_shutdown.connect(weak=False)
def _finish(sender: Any, **_: Any) -> None:
    keeper = getattr(sender, "keeper", None)
    if keeper is not None:
        keeper.finish()
