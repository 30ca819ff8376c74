"""Jobs that stand still although nothing holds them: a bug, healed and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surefoot.app.engine.jobs.release import finish
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.engine.relay.context import RelayContext
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import JobState, OpState
from surefoot.app.store import job_reads, operation_reads, operation_writes

NIL = "00000000-0000-0000-0000-000000000000"  # before every id


@dataclass
class Stranded:
    """Queues operations that are pending and wait for nothing."""

    relay: RelayContext
    name: ClassVar[str] = "stranded"

    def run_once(self) -> int:
        """Returns how many jobs it looked at."""
        rows = self.relay.find(self.name, operation_reads.stranded)
        return self.relay.change_each(self.name, dict.fromkeys(row.job_id for row in rows), _queue)


@dataclass
class Idle:
    """Ends jobs that have nothing left to do. Pages through the open jobs, one page a round."""

    relay: RelayContext
    after: str = NIL  # the last job of the page before
    name: ClassVar[str] = "idle"

    def run_once(self) -> int:
        """Returns how many jobs it looked at."""
        most = self.relay.settings.sweep_rows
        ids, last = self.relay.read(self.name, lambda c: job_reads.idle(c, self.after, most))
        self.after = last or NIL
        return self.relay.change_each(self.name, ids, _end)


def _queue(job_tx: JobTransaction) -> None:
    """The release of an operation queues it in the same transaction, so this finds a mistake."""
    rows = [
        row
        for row in operation_reads.operations_of(job_tx.tx, job_tx.job.id)
        if row.state == OpState.PENDING and row.pending_dependencies == 0
    ]
    queued = operation_writes.queue_operations(
        job_tx.tx, [row.id for row in rows], only=OpState.PENDING
    )
    for row in queued:
        job_tx.record(HistoryEvent.REQUEUED_BY_SWEEP, row)
    job_tx.ready(queued)


def _end(job_tx: JobTransaction) -> None:
    if job_tx.state in (JobState.RUNNING, JobState.COMPENSATING):
        finish(job_tx)
