"""What the story is told from: one state of the store, read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection

from surefoot.app.rules.decisions import LetterAction
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import Dir, JobState, Kind
from surefoot.app.rules.waits import WaitingFor, rule_of
from surefoot.app.saga.words import Words
from surefoot.app.store import dead_letters, job_reads, reconciliations
from surefoot.app.store.rows.findings import FindingRow
from surefoot.app.store.views.dead_letters import decisions_about
from surefoot.app.store.views.effects import Effect, effects_of
from surefoot.app.store.views.locks import InLine, in_line
from surefoot.app.store.views.snapshot import Operation, Snapshot, load
from surefoot.app.store.views.workers import Worker, register


@dataclass(frozen=True)
class Letter:
    """An open dead letter that holds the job."""

    id: str
    step: str
    kind: str
    why: str
    message: str
    attempts: int
    created_at: datetime
    actions: tuple[LetterAction, ...]


@dataclass(frozen=True)
class Turned:
    """When the job turned, and who asked for it."""

    at: datetime
    actor: str | None


@dataclass(frozen=True)
class Facts:
    """`workers` is read only while something waits for one; `today` is the reader's, for how times
    are written.
    """

    snapshot: Snapshot
    effects: Sequence[Effect]
    letters: Sequence[Letter]
    turned: Turned | None
    workers: Sequence[Worker]
    today: date
    in_line: InLine | None = None  # for its semantic locks
    findings: Sequence[FindingRow] = ()  # of reconciliation, open

    @property
    def words(self) -> Words:
        """What the saga's author says for people."""
        return self.snapshot.words

    def title(self, op: Operation) -> str:
        """What people call an operation: its step, its compensation's own name, or the confirmation
        of a step.
        """
        undo = self.snapshot.graph.by_name[op.step].compensation
        if op.kind == Kind.UNDO and undo is not None:
            return undo.name
        return f"the confirmation of {op.step}" if op.kind == Kind.CONFIRM else op.step


def read(connection: Connection, job_id: str, tenant_id: str | None, today: date) -> Facts:
    """Raises: NotFound."""
    snapshot = load(connection, job_id, tenant_id)
    job = snapshot.job
    waits_for_worker = not snapshot.ended and any(
        op.in_line or rule_of(op.wait_reason).shown_as == WaitingFor.VERSION
        for op in snapshot.operations
    )
    return Facts(
        snapshot=snapshot,
        effects=effects_of(connection, [job.id])[job.id],
        letters=_letters(connection, snapshot) if job.state == JobState.ATTENTION else (),
        turned=_turned(connection, job.id) if job.direction == Dir.BACK else None,
        workers=register(connection) if waits_for_worker else (),
        today=today,
        in_line=in_line(connection, job.id, tenant_id)
        if any(rule_of(op.wait_reason).of_job for op in snapshot.operations)
        else None,
        findings=reconciliations.open_of_jobs(connection, [job.id]),
    )


def _letters(connection: Connection, snapshot: Snapshot) -> list[Letter]:
    rows = dead_letters.blocking_letters(connection, snapshot.job.id)
    return [
        Letter(
            r.id,
            r.step,
            r.kind,
            r.why,
            message_of(r.error),
            r.attempts,
            r.created_at,
            tuple(decisions_about(r, snapshot.graph)),
        )
        for r in sorted(rows, key=lambda row: (row.created_at, row.id))
    ]


def _turned(connection: Connection, job_id: str) -> Turned | None:
    row = job_reads.first_event(connection, job_id, HistoryEvent.COMPENSATION_STARTED)
    return None if row is None else Turned(row.at, row.actor)


def message_of(error: dict[str, Any] | None) -> str:
    """What the service said; the type of the error when it said nothing."""
    return str((error or {}).get("message") or (error or {}).get("type") or "no reason was given")
