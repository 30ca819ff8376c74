"""What a batch in one process costs: read before, read after, divided by what it did."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from surefoot.app.bench.gauges import PostgresGauge, machine_busy_s
from surefoot.app.bench.grown import BYTES, CPU, OTHERS
from surefoot.workers.bench.yard import Yard


class Meter:
    """Processor time of this process and of the database's, WAL of the whole server, and messages."""

    def __init__(self, url: str) -> None:
        self._gauge = None if url.startswith("sqlite") else PostgresGauge(url)

    def over(self, yard: Yard, units: int, work: Callable[[], Any]) -> dict[str, float]:
        """What `work` costs for each of its units, and what else kept the machine busy meanwhile."""
        before, began, busy_s = self._read(yard), time.perf_counter(), machine_busy_s()
        work()
        took, after, busy_s = (
            time.perf_counter() - began,
            self._read(yard),
            machine_busy_s() - busy_s,
        )
        told = {name: (after[name] - before[name]) / units for name in after}
        cpu_ms = told["cpu_ms"] + told.get("database_ms", 0.0)
        weighing_ms = told.pop("weighing_ms")
        ours_s = units * (cpu_ms + weighing_ms) / 1000
        return {
            CPU: cpu_ms,
            **told,
            "per_s": units / took,
            OTHERS: max(0.0, (busy_s - ours_s) / took),
        }

    def _read(self, yard: Yard) -> dict[str, float]:
        box = yard.weighed
        found = {
            "cpu_ms": 1000 * (time.process_time() - box.weighing_s),
            "weighing_ms": 1000 * box.weighing_s,
            BYTES: box.bytes_,
            "messages": box.messages,
        }
        if self._gauge is not None:
            found["database_ms"] = 1000 * (self._gauge.cpu_s() or 0.0)
            found["wal_bytes"] = self._gauge.wal_bytes() or 0
        return found
