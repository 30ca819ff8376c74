"""Jobs whose deadline has passed are undone; where the undoing takes too long, a person is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surefoot.app.engine.jobs.compensation import Ground, start_compensation
from surefoot.app.engine.jobs.dead_letters import require_attention
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Cause, Dir, JobState, Kind, OpState
from surefoot.app.store import job_reads, operation_reads

UNDO_LATE = {
    "type": "UndoLate",
    "message": "undoing takes longer than it may (SUREFOOT_UNDO_SECONDS)",
}


@dataclass
class Deadlines:
    """Starts the compensation of jobs that are past their deadline."""

    relay: RelayContext
    name: ClassVar[str] = "deadline"

    def run_once(self) -> int:
        """Returns how many jobs it looked at."""
        ids = self.relay.find(self.name, job_reads.past_deadline)
        return self.relay.change_each(self.name, ids, self._change)

    def _change(self, job_tx: JobTransaction) -> None:
        running = job_tx.direction == Dir.FORWARD and job_tx.state == JobState.RUNNING
        if not running or job_tx.job.deadline_at is None:
            return
        ground = Ground(Cause.DEADLINE, "its deadline passed")
        if not start_compensation(job_tx, ground, undo_s=self.relay.settings.undo_seconds):
            job_tx.change(deadline_at=None, deadline_missed=True)
            job_tx.record(HistoryEvent.DEADLINE_MISSED)


@dataclass
class UndoDeadlines:
    """Asks a person about jobs whose undoing takes longer than SUREFOOT_UNDO_SECONDS."""

    relay: RelayContext
    name: ClassVar[str] = "undo_late"

    def run_once(self) -> int:
        """Returns how many jobs it looked at."""
        ids = self.relay.find(self.name, job_reads.past_undo_deadline)
        return self.relay.change_each(self.name, ids, _ask_about_undo)


def _ask_about_undo(job_tx: JobTransaction) -> None:
    open_undos = [
        row
        for row in operation_reads.operations_of(job_tx.tx, job_tx.job.id, Kind.UNDO)
        if row.state not in (OpState.COMPLETED, OpState.SKIPPED)
    ]
    job_tx.change(undo_deadline_at=None)
    if job_tx.state == JobState.COMPENSATING and open_undos:
        require_attention(job_tx, open_undos[0], why=FailureReason.LATE_UNDO, error=UNDO_LATE)
