"""Counters of this process, for Prometheus: what has happened, beside what the store says of how
things stand.

The hazard: web threads, worker children and relays all count, die without a word, and are many. A
counter that one process keeps in memory is gone with it and is never seen by the process that is
asked.

The answer: each process adds into memory-mapped files of its own (prometheus-client's format) in
one folder, SUREFOOT_HOME/metrics, and the process that is asked sums them all. Files are named for
host and process, so that containers may share the folder; those of processes that have ended are
folded into one, by the process that is asked and by every worker. What a transaction does is
counted once it has committed (`noted`), never when it was rolled back and repeated.

Counting never raises and costs microseconds. A process that has not called `start` counts nothing:
tests and Flower leave no files. Labels have few values: names of sagas, steps and routes, never an
id.
"""

from __future__ import annotations

from surefoot.app.metrics.files import start, started, stop, tidy
from surefoot.app.metrics.kinds import Counter, Histogram
from surefoot.app.metrics.noted import afterwards, flush, record, record_seconds, reset

__all__ = [
    "Counter",
    "Histogram",
    "afterwards",
    "flush",
    "record",
    "record_seconds",
    "reset",
    "start",
    "started",
    "stop",
    "tidy",
]
