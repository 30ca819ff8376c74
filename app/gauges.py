"""What Prometheus is told when it asks: how things stand in the store, and what every process has
counted.

The store is asked at most every KEPT_S and the invariants every INVARIANTS_KEPT_S, however often it
is asked, and the invariants look at what is open and the newest jobs only: a scrape costs the same
over ten million jobs as over none.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Generic, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.metrics.files import collected
from surefoot.app.metrics.kinds import PREFIX
from surefoot.app.rules.findings import shown
from surefoot.app.saga.naming import UNDO_QUEUE
from surefoot.app.store import reconciliations
from surefoot.app.store.invariants import INVARIANTS, UNDER_WAY_S, Scope, slack_s, violations
from surefoot.app.store.session import reading
from surefoot.app.store.views import quarantine, stats

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
KEPT_S = 2.0
INVARIANTS_KEPT_S = 60.0
T = TypeVar("T")


class Kept(Generic[T]):
    """An answer that is good for `seconds`. Concurrent callers share it; one asks at a time."""

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._answer: tuple[float, T] | None = None

    def get(self) -> T:
        """Raises: whatever the question does; the next who comes asks again."""
        with self._lock:
            if self._answer is None or time.monotonic() - self._answer[0] >= self._seconds:
                self._answer = time.monotonic(), self._ask()
            return self._answer[1]


class Gauges:
    """The metrics of one store and one home."""

    def __init__(self, db: Engine, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._standing = Kept(self._read, KEPT_S)
        self._broken = Kept(self._ask_invariants, INVARIANTS_KEPT_S)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format. Raises: StoreUnavailable."""
        found = [*self._standing.get(), *self._broken.get(), *collected(self._settings.home)]
        return generate_latest(_Found(found))

    def _read(self) -> list[Metric]:
        with reading(self._db) as connection:
            return [
                _build(),
                *_jobs(connection),
                *_lanes(connection),
                *_letters(connection),
                *_locks(connection),
                *_relay(connection, self._settings.lease_seconds),
            ]

    def _ask_invariants(self) -> list[Metric]:
        broken = _gauge(
            "invariant_violations",
            "Rows that break what must always hold, among open and the newest jobs.",
            "invariant",
        )
        found = violations(
            self._db, slack_s=slack_s(self._settings), bound_s=UNDER_WAY_S, scope=Scope()
        )
        for sentence in INVARIANTS:
            broken.add_metric((sentence,), len(found.get(sentence, ())))
        return [broken]


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, told, labels=labels)


def _build() -> Metric:
    built = _gauge(
        "build_info", "Always 1; which Surefoot and Python this is.", "version", "python"
    )
    built.add_metric((version("surefoot"), platform.python_version()), 1)
    return built


def _jobs(connection: Connection) -> list[Metric]:
    jobs = _gauge("jobs_open", "Jobs that have not ended.", "saga", "state")
    unowned = _gauge(
        "jobs_attention_unowned",
        "Jobs in attention without an owner.",
        "saga",
    )
    since = _gauge(
        "jobs_attention_oldest_age_seconds",
        "Age of the oldest job in attention.",
        "saga",
    )
    stranded = _gauge(
        "jobs_definition_missing",
        "Open jobs pinned to a definition that no live worker has.",
        "saga", "version", "digest",
    )  # fmt: skip
    for (saga, state), count in sorted(stats.open_states(connection).items()):
        jobs.add_metric((saga, state), count)
    for asked in stats.attention(connection):
        unowned.add_metric((asked.saga,), asked.unowned)
        since.add_metric((asked.saga,), asked.oldest_s)
    for one in stats.stranded_versions(connection):
        stranded.add_metric((one.saga, str(one.version), one.digest), one.jobs)
    unread = _gauge(
        "jobs_definition_unreadable",
        "Open jobs pinned to a definition that this web server cannot read.",
        "saga", "version", "digest",
    )  # fmt: skip
    for one, _said in stats.unreadable_definitions(connection):
        unread.add_metric((one.saga, str(one.version), one.digest), one.jobs)
    return [jobs, unowned, since, stranded, unread]


def _lanes(connection: Connection) -> list[Metric]:
    depth = _gauge("lane_depth", "Operations that are ready and wait for a worker.", "lane", "kind")
    oldest = _gauge(
        "lane_oldest_age_seconds", "How long the oldest of them has waited.", "lane", "kind"
    )
    unattended = _gauge(
        "operations_unattended",
        "Operations that no worker has claimed within their queue time-out, and that still wait.",
        "lane", "kind",
    )  # fmt: skip
    unread = _gauge(
        "operations_unreadable",
        "Operations that wait for code that can read what is stored for them.",
        "saga",
        "step",
    )
    workers = _gauge("workers_live", "Live workers by lane.", "lane")
    places = _gauge(
        "worker_slots", "Operations that the live workers of a lane can run at once.", "lane"
    )
    queues = {lane.queue: lane for lane in stats.lanes(connection)}
    live = stats.live_workers(connection)
    for name in sorted({name for worker in live for name in worker.lanes}):
        serving = [worker.concurrency for worker in live if name in worker.lanes]
        workers.add_metric((name,), len(serving))
        places.add_metric((name,), sum(serving))
        queues.setdefault(name, stats.Lane(name, 0, 0.0))
    for queue in sorted(queues):
        labels = (
            queue.removesuffix(UNDO_QUEUE),
            "undo" if queue.endswith(UNDO_QUEUE) else "action",
        )
        unattended.add_metric(labels, queues[queue].unattended)
        depth.add_metric(labels, queues[queue].depth)
        oldest.add_metric(labels, queues[queue].oldest_s)
    for one in stats.unread(connection):
        unread.add_metric((one.saga, one.step), one.count)
    return [depth, oldest, unattended, unread, workers, places]


def _letters(connection: Connection) -> list[Metric]:
    letters = _gauge(
        "dead_letters_open",
        "Operations given up; needs_person: those that hold their job.",
        "saga",
        "why",
        "needs_person",
    )
    kept = _gauge("quarantine_messages", "Messages in quarantine that wait for an operator.")
    findings = _gauge("reconciliation_open", "Open findings of reconciliation.", "finding", "saga")
    for row in stats.letters(connection):
        letters.add_metric((row.saga, row.why, "yes" if row.needs_person else "no"), row.count)
    kept.add_metric((), quarantine.kept(connection))
    for (finding, saga), count in sorted(reconciliations.open_counts(connection).items()):
        findings.add_metric((shown(finding), saga), count)
    return [letters, kept, findings]


def _locks(connection: Connection) -> list[Metric]:
    found = stats.locks(connection)
    held = _gauge("locks_held", "Keys of semantic locks that are held.")
    waiting = _gauge(
        "lock_waits",
        "Waiting jobs in the queues of locks, counted once for each key.",
    )
    oldest = _gauge(
        "lock_oldest_wait_seconds",
        "Wait of the job that has waited longest for a lock; 0 if none waits.",
    )
    for gauge, value in ((held, found.held), (waiting, found.waiting), (oldest, found.oldest_s)):
        gauge.add_metric((), value)
    return [held, waiting, oldest]


def _relay(connection: Connection, lease_s: float) -> list[Metric]:
    age = _gauge(
        "relay_last_sweep_age_seconds", "Time since the active relay began its last round."
    )
    held = _gauge("relay_active", "Whether a relay holds the lease.")
    lease = stats.relay_lease(connection)
    held.add_metric((), float(lease is not None and lease.left_s > 0))
    if lease is not None:  # each round begins by renewing it
        age.add_metric((), max(0.0, lease_s - lease.left_s))
    return [age, held]


class _Found(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
