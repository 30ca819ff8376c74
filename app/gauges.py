"""What Prometheus is told when it asks: how things stand in the store, and what every process has counted.

The store is asked at most every KEPT_S and the invariants every INVARIANTS_KEPT_S, whoever asks how often, and the
invariants look at what is open and the newest jobs only: a scrape costs the same over ten million jobs as over none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from app.config import Settings
from app.engine.invariants import INVARIANTS, UNDER_WAY_S, Scope, slack_s, violations
from app.metrics.files import collected
from app.store import reconciliations
from app.store.session import reading
from app.store.views import quarantine, standing

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
KEPT_S = 2.0
INVARIANTS_KEPT_S = 60.0
T = TypeVar("T")


class Kept(Generic[T]):
    """An answer that is good for `seconds`. Who comes meanwhile gets it, too; nobody asks twice at once."""

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
        jobs = GaugeMetricFamily("surefoot_jobs_open", "Jobs that have not ended.", labels=("saga", "state"))
        depth = GaugeMetricFamily("surefoot_lane_depth", "Operations that are ready and wait for a worker.", labels=("queue",))
        oldest = GaugeMetricFamily("surefoot_lane_oldest_age_seconds", "How long the oldest of them has waited.", labels=("queue",))
        unattended = GaugeMetricFamily(
            "surefoot_operations_unattended",
            "Operations that have been ready for longer than their queue time-out, and wait on: no worker comes for them.",
            labels=("queue",),
        )
        stranded = GaugeMetricFamily(
            "surefoot_jobs_definition_missing",
            "Open jobs that are pinned to a definition which no live worker has.",
            labels=("saga", "version", "digest"),
        )
        unread = GaugeMetricFamily(
            "surefoot_operations_unreadable",
            "Operations that wait for code that can read what is stored for them.",
            labels=("saga", "step"),
        )
        letters = GaugeMetricFamily("surefoot_dead_letters_open", "Operations given up, by saga and why.", labels=("saga", "why"))
        asked = GaugeMetricFamily("surefoot_dead_letters_need_person", "Those of them that hold their job.", labels=("saga", "why"))
        attention = GaugeMetricFamily("surefoot_jobs_attention", "Jobs for which a person is asked.", labels=("saga",))
        unowned = GaugeMetricFamily("surefoot_jobs_attention_unowned", "Those that nobody has taken on.", labels=("saga",))
        since = GaugeMetricFamily("surefoot_jobs_attention_oldest_age_seconds", "For how long the oldest has asked.", labels=("saga",))
        kept = GaugeMetricFamily("surefoot_quarantine_messages", "Messages nobody can run that nobody has looked at.")
        findings = GaugeMetricFamily("surefoot_reconciliation_open", "Open findings of reconciliation.", labels=("finding", "saga"))
        workers = GaugeMetricFamily("surefoot_workers_live", "Workers seen lately, by lane.", labels=("lane",))
        places = GaugeMetricFamily(
            "surefoot_worker_children", "Operations that the live workers of a lane can run at once.", labels=("lane",)
        )
        relay = GaugeMetricFamily("surefoot_relay_last_sweep_age_seconds", "Since the active relay last began a round.")
        held = GaugeMetricFamily("surefoot_relay_active", "Whether some relay holds the lease.")
        with reading(self._db) as connection:
            for (saga, state), count in sorted(standing.open_states(connection).items()):
                jobs.add_metric((saga, state), count)
                if state == "attention":
                    attention.add_metric((saga,), count)
            for asked_jobs in standing.attention(connection):
                unowned.add_metric((asked_jobs.saga,), asked_jobs.unowned)
                since.add_metric((asked_jobs.saga,), asked_jobs.oldest_s)
            kept.add_metric((), quarantine.kept(connection))
            for version in standing.stranded_versions(connection):
                stranded.add_metric((version.saga, str(version.version), version.digest), version.jobs)
            for one in standing.unread(connection):
                unread.add_metric((one.saga, one.step), one.count)
            queues = {lane.queue: lane for lane in standing.lanes(connection)}
            live = standing.live_workers(connection)
            for lane in sorted({name for worker in live for name in worker.lanes}):
                serving = [worker.concurrency for worker in live if lane in worker.lanes]
                workers.add_metric((lane,), len(serving))
                places.add_metric((lane,), sum(serving))
                queues.setdefault(lane, standing.Lane(lane, 0, 0.0))
            for queue in sorted(queues):
                unattended.add_metric((queue,), queues[queue].unattended)
                depth.add_metric((queue,), queues[queue].depth)
                oldest.add_metric((queue,), queues[queue].oldest_s)
            counts: dict[tuple[str, str], int] = {}
            for row in standing.letters(connection):
                counts[row.saga, row.why] = counts.get((row.saga, row.why), 0) + row.count
                if row.needs_person:
                    asked.add_metric((row.saga, row.why), row.count)
            for names, count in sorted(counts.items()):
                letters.add_metric(names, count)
            lease = standing.relay_lease(connection)
            for (finding, saga), count in sorted(reconciliations.open_counts(connection).items()):
                findings.add_metric((finding, saga), count)
        held.add_metric((), float(lease is not None and lease.left_s > 0))
        if lease is not None:  # each round begins by renewing it
            relay.add_metric((), max(0.0, self._settings.lease_seconds - lease.left_s))
        return [
            findings,
            jobs,
            depth,
            oldest,
            unattended,
            stranded,
            unread,
            letters,
            asked,
            attention,
            unowned,
            since,
            kept,
            workers,
            places,
            relay,
            held,
        ]

    def _ask_invariants(self) -> list[Metric]:
        broken = GaugeMetricFamily(
            "surefoot_invariant_violations", "Rows that break what must always hold, among open and the newest jobs.", labels=("invariant",)
        )
        found = violations(self._db, slack_s=slack_s(self._settings), bound_s=UNDER_WAY_S, scope=Scope())
        for sentence in INVARIANTS:
            broken.add_metric((sentence,), len(found.get(sentence, ())))
        return [broken]


class _Found(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
