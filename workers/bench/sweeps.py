"""What each query of the relay's round takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.store import job_reads, message_reads, operation_reads, operation_writes
from surefoot.app.store.session import asking, execute_single

LOOKS = 50  # at each query; the quickest counts
NIL = "00000000-0000-0000-0000-000000000000"
SWEEPS: dict[str, Callable[[Connection], Any]] = {
    "unsent": lambda c: message_reads.unsent(c, 1.0, 200),
    "lost": lambda c: [
        message_reads.sent_long_ago(c, queue, 15.0, 200)
        for queue in message_reads.sent_queues(c, 15.0)
    ],
    "expired": lambda c: operation_reads.expired(c, 200),
    "due": lambda c: operation_writes.wake_due(c, 200),
    "nobody_came": lambda c: operation_reads.nobody_came(c, 200),
    "stranded": lambda c: operation_reads.stranded(c, 200),
    "deadline": lambda c: job_reads.past_deadline(c, 200),
    "undo_deadline_at": lambda c: job_reads.past_undo_deadline(c, 200),
    "idle": lambda c: job_reads.idle(c, NIL, 200),
}


def sweep_ms(db: Engine) -> dict[str, float]:
    """Milliseconds from asking to the answer; a name of a figure for each query."""
    return {
        f"sweep_{name}_ms": 1000 * min(_took(db, name, query) for _ in range(LOOKS))
        for name, query in SWEEPS.items()
    }


def _took(db: Engine, name: str, query: Callable[[Connection], Any]) -> float:
    began = time.perf_counter()
    if name == "due":
        execute_single(db, query)
    else:
        with asking(db) as connection:
            query(connection)
    return time.perf_counter() - began
