"""The workers' own Celery app, with events as the bench says and its commits counted."""

from __future__ import annotations

from celery import Celery, signals

from surefoot import celeryconfig
from surefoot.workers.bench import counting
from surefoot.workers.bench.told import events


def make() -> Celery:
    """The app that `surefoot worker` runs.

    Events are set before it reads its settings: children read them once more to publish.
    """
    celeryconfig.worker_send_task_events = celeryconfig.task_send_sent_event = events()
    counting.watch_the_store()
    signals.worker_process_init.connect(counting.start, weak=False)
    from surefoot.workers.celery_app import celery_app

    return celery_app


celery_app = make()
