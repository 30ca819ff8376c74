"""Looking at a world's store, past the doors: looking is not an action, and nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, literal_column, select

from surefoot.app.rules.events import HistoryEvent, stored
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import ENDED, JobState, LetterState
from surefoot.app.store.reconciliations import LATE
from surefoot.app.store.tables import dead_letters, history, jobs, operations, reconciliations

d = dead_letters.c
_JOBS = select(jobs).order_by(jobs.c.id)
_IDS = select(jobs.c.id).order_by(jobs.c.id)
_MOVING = select(jobs.c.id).where(jobs.c.state.not_in((*ENDED, JobState.ATTENTION)))
# A value in its text: SQLite makes a plan anew for each value on which a partial index depends
_OPEN = d.state == literal_column(f"'{LetterState.OPEN}'")
_LETTERS = select(dead_letters).where(_OPEN, d.blocking).order_by(d.id)


_ENDED = select(jobs.c.id).where(jobs.c.state.in_(ENDED)).order_by(jobs.c.id)
_LOOSE = select(dead_letters).where(_OPEN, ~d.blocking).order_by(d.id)
_FINDINGS = (
    select(reconciliations)
    .where(reconciliations.c.closed_at.is_(None), reconciliations.c.finding != LATE)
    .order_by(reconciliations.c.id)
)


class View:
    """What is in the store just now. `changes`: another number whenever something was written."""

    def __init__(self, engine: Engine, changes: Callable[[], int]) -> None:
        self._engine, self._changes = engine, changes
        self._seen_changes = -1
        self._seen: dict[Any, list[Any]] = {}

    def jobs(self) -> list[Any]:
        """Every job's row, oldest first."""
        return self._again(_JOBS)

    def job_ids(self) -> list[str]:
        """Every job's id, oldest first."""
        return [row.id for row in self._again(_IDS)]

    def moving(self) -> list[str]:
        """The jobs that have not ended and wait for no person."""
        return [row.id for row in self._again(_MOVING)]

    def gave_up_waiting(self) -> bool:
        """Whether an operation lay ready past its time: given up for that, or noted by the sweep,
        which took its clock away.
        """
        o = operations.c
        failed = self.all(
            select(history.c.detail).where(history.c.event.in_(stored(HistoryEvent.FAILED)))
        )
        noted = self.all(
            select(o.id).where(o.ready_at.is_not(None), o.claim_deadline_at.is_(None)).limit(1)
        )
        return bool(noted) or any(
            (row.detail or {}).get("why") == FailureReason.QUEUE_TIMEOUT for row in failed
        )

    def letters(self) -> list[Any]:
        """The open dead letters that hold a job, oldest first."""
        return self._again(_LETTERS)

    def ended(self) -> list[str]:
        """The ids of the jobs that have ended, oldest first."""
        return [row.id for row in self._again(_ENDED)]

    def loose_letters(self) -> list[Any]:
        """The open dead letters that hold no job, oldest first."""
        return self._again(_LOOSE)

    def findings(self) -> list[Any]:
        """The open findings about effects, oldest first."""
        return self._again(_FINDINGS)

    def history(self, job_id: str) -> list[Any]:
        """A job's history, oldest first."""
        return self.all(select(history).where(history.c.job_id == job_id).order_by(history.c.seq))

    def all(self, query: Any) -> list[Any]:
        """The rows of any question."""
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _again(self, query: Any) -> list[Any]:
        """The same, of a question that comes again and again: asked when something was written
        since.
        """
        changes = self._changes()
        if changes != self._seen_changes:
            self._seen_changes, self._seen = changes, {}
        if query not in self._seen:
            self._seen[query] = self.all(query)
        return self._seen[query]
