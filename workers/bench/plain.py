"""Plain Celery, as its documentation shows it: early acknowledgement, nothing stored but what a
chord needs.

The last task of a job counts in memory that the client reads: no command of the broker's is spent
on knowing the end.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, chain, chord, signals

from surefoot.workers.bench import counting
from surefoot.workers.bench.sagas import MEMBERS
from surefoot.workers.bench.told import broker_url, events

QUEUE = "bench_plain"


def make(*, results: bool) -> Celery:
    """The app of the workers (`results`, for chords), or of a client that only publishes chains."""
    app = Celery(
        "plain",
        broker=broker_url(),
        backend=broker_url() if results else None,
        set_as_current=results,
    )
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        worker_send_task_events=events(),
        task_send_sent_event=events(),
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        # one key for a queue, as in ours: with Celery's four priorities each blocking pop would
        # name four
        broker_transport_options={"priority_steps": [0]},
    )
    for task in (first, second, third, member, join):
        app.task(name=f"plain.{task.__name__}", ignore_result=task is not member)(task)
    return app


def first() -> None:
    """An empty task."""


def second() -> None:
    """An empty task."""


def third() -> None:
    counting.count("done")


def member() -> None:
    """An empty task whose end the chord counts."""


def join(_results: list[Any]) -> None:
    counting.count("done")


def send_chain(app: Celery) -> None:
    """Three tasks, one after the other."""
    chain(
        *(app.tasks[f"plain.{name}"].si() for name in ("first", "second", "third")), app=app
    ).apply_async()


def send_chord(app: Celery) -> None:
    """Ten tasks side by side and one after them."""
    chord([app.tasks["plain.member"].si() for _ in range(MEMBERS)], app=app)(
        app.tasks["plain.join"].s()
    )


def make_worker() -> Celery:
    """The app of a worker, which counts."""
    signals.worker_process_init.connect(counting.start, weak=False)
    return make(results=True)
