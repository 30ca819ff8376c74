"""Looking at a world's store, past the doors: whoever looks is no actor, and nothing fails."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from surefoot.app.rules.events import HistoryEvent, stored
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import ENDED, JobState, LetterState
from surefoot.app.store.reconciliations import LATE
from surefoot.app.store.tables import dead_letters, history, jobs, operations, reconciliations

d = dead_letters.c
_JOBS = select(jobs).order_by(jobs.c.id)
_IDS = select(jobs.c.id).order_by(jobs.c.id)
_MOVING = select(jobs.c.id).where(jobs.c.state.not_in((*ENDED, JobState.ATTENTION)))
_LETTERS = select(dead_letters).where(d.state == LetterState.OPEN, d.blocking).order_by(d.id)


class View:
    """What is in the store just now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def jobs(self) -> list[Any]:
        """Every job's row, oldest first."""
        return self.all(_JOBS)

    def job_ids(self) -> list[str]:
        """Every job's id, oldest first."""
        return [row.id for row in self.all(_IDS)]

    def moving(self) -> list[str]:
        """The jobs that have not ended and wait for no person."""
        return [row.id for row in self.all(_MOVING)]

    def gave_up_waiting(self) -> bool:
        """Whether an operation lay ready past its time: given up for that, or noted by the sweep, which took its clock away."""
        o = operations.c
        failed = self.all(
            select(history.c.detail).where(history.c.event.in_(stored(HistoryEvent.FAILED)))
        )
        noted = self.all(select(o.id).where(o.ready_at.is_not(None), o.queue_by.is_(None)).limit(1))
        return bool(noted) or any(
            (row.detail or {}).get("why") == FailureReason.QUEUE_TIMEOUT for row in failed
        )

    def letters(self) -> list[Any]:
        """The open dead letters that hold a job, oldest first."""
        return self.all(_LETTERS)

    def ended(self) -> list[str]:
        """The ids of the jobs that have ended, oldest first."""
        return [
            row.id
            for row in self.all(
                select(jobs.c.id).where(jobs.c.state.in_(ENDED)).order_by(jobs.c.id)
            )
        ]

    def loose_letters(self) -> list[Any]:
        """The open dead letters that hold no job, oldest first."""
        return self.all(
            select(dead_letters).where(d.state == LetterState.OPEN, ~d.blocking).order_by(d.id)
        )

    def findings(self) -> list[Any]:
        """The open findings about effects, oldest first."""
        r = reconciliations.c
        open_ones = select(reconciliations).where(r.closed_at.is_(None), r.finding != LATE)
        return self.all(open_ones.order_by(r.id))

    def history(self, job_id: str) -> list[Any]:
        """A job's history, oldest first."""
        return self.all(select(history).where(history.c.job_id == job_id).order_by(history.c.seq))

    def all(self, query: Any) -> list[Any]:
        """The rows of any question."""
        with self._engine.connect() as connection:
            return list(connection.execute(query))
