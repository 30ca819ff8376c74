"""Which steps of a turned job are undone.

Decided once, in the turn's transaction, and never changed: so a process reads it once for each job. The answer is kept only when
the turn had been committed before it was read.
"""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy import Connection, select

from app.rules.states import Kind
from app.store.tables import operations

KEPT_STEPS = 100_000  # names, over all jobs that a process remembers
_kept: OrderedDict[str, frozenset[str]] = OrderedDict()


def undone_steps(tx: Connection, job_id: str, *, committed: bool) -> frozenset[str]:
    """The steps that have an undo. `committed`: the job had turned before this transaction began."""
    known = _kept.get(job_id) if committed else None
    if known is not None:
        return known
    o = operations.c
    found = frozenset(tx.scalars(select(o.step).where(o.job_id == job_id, o.kind == Kind.UNDO)))
    if committed:
        _kept[job_id] = found
        while sum(map(len, _kept.values())) > KEPT_STEPS and len(_kept) > 1:
            _kept.popitem(last=False)
    return found
