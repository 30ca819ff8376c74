"""Dead letters: an operation that is given up, kept with its reason and what a person can do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from app.clock import now
from app.engine.move import Move
from app.rules.states import JobState
from app.store import queries
from app.store.ids import new_id
from app.store.tables import dead_letters
from app.store.types import AnyRow

WHYS = ("exhausted", "rejected", "unknown_outcome", "failed", "queue_timeout", "stalled", "lock_timeout", "late_undo", "late")


def ask_a_person(move: Move, row: AnyRow, *, why: str, error: dict[str, Any]) -> None:
    """The job stands in `attention`, since now if it did not already, with a letter about this operation."""
    open_letter(move, row, why=why, error=error, blocking=True)
    since = {} if move.state == JobState.ATTENTION else {"attention_since": now()}
    move.change(state=JobState.ATTENTION, trouble=error, **since)  # `error` is why the job turned, and stays that
    move.record("attention", row, why=why)


def open_letter(move: Move, row: AnyRow, *, why: str, error: dict[str, Any] | None, blocking: bool) -> None:
    """One open letter for an operation. `blocking` holds the job in `attention`; else the job lands by itself."""
    if queries.open_letter_of(move.tx, row.id) is not None:
        return
    move.tx.execute(
        insert(dead_letters).values(
            id=new_id(),
            job_id=row.job_id,
            tenant_id=move.job.tenant_id,
            operation_id=row.id,
            saga=move.graph.saga,
            step=row.step,
            item=row.item,
            kind=row.kind,
            why=why,
            error=error,
            attempts=row.attempts,
            blocking=blocking,
            needs_person=blocking,
        )
    )
