"""Which steps of a turned job are undone.

Decided once, in the turn's transaction, and never changed: so a process reads it once for each job.
The answer is kept only when the turn had been committed before it was read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sqlalchemy import Connection, bindparam, select

from surefoot.app.rules.states import Kind
from surefoot.app.store.host import host_of
from surefoot.app.store.tables import Id, operations

KEPT_STEPS = 100_000  # names, over all jobs that a process remembers


class LruCache:
    """The newest answers, at most KEPT_STEPS names of them. Threads of one process share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._names = 0

    def get(self, job_id: str) -> frozenset[str] | None:
        return self._answers.get(job_id)

    def keep(self, job_id: str, steps: frozenset[str]) -> None:
        with self._lock:
            if job_id in self._answers:
                return
            self._answers[job_id] = steps
            self._names += len(steps)
            while self._names > KEPT_STEPS and len(self._answers) > 1:
                _, forgotten = self._answers.popitem(last=False)
                self._names -= len(forgotten)


_WITH_UNDO = select(operations.c.step).where(
    operations.c.job_id == bindparam("p_job", type_=Id), operations.c.kind == Kind.UNDO
)


def undone_steps(tx: Connection, job_id: str, *, committed: bool) -> frozenset[str]:
    """The steps that have an undo. `committed`: the job had turned before this transaction began."""
    kept = host_of(tx).remembered(LruCache)
    known = kept.get(job_id) if committed else None
    if known is not None:
        return known
    found = frozenset(tx.scalars(_WITH_UNDO, {"p_job": job_id}))
    if committed:
        kept.keep(job_id, found)
    return found
