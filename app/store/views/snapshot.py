"""A job as it stands: its row, its pinned graph and its operations, read together, for one job or
for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select, select

from surefoot.app.errors import NotFound
from surefoot.app.rules.states import DONE, ENDED, Dir, JobState, Kind, OpState
from surefoot.app.rules.waits import BUSY
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.words import NO_WORDS, Words
from surefoot.app.store.definitions import definition
from surefoot.app.store.ids import is_id
from surefoot.app.store.tables import jobs, operations


@dataclass(frozen=True)
class JobRow:
    """Columns of a job that may be shown. Its input is not among them."""

    id: str
    tenant_id: str
    saga: str
    version: int
    digest: str
    state: str
    direction: str
    cause: str | None
    cancel_requested: bool
    reason: str | None
    error: dict[str, Any] | None
    trouble: dict[str, Any] | None
    summary: str | None
    tags: list[str]
    priority: int
    retry_of: str | None
    created_by: str
    traceparent: str | None
    created_at: datetime
    deadline_at: datetime | None
    deadline_missed: bool
    undo_deadline_at: datetime | None
    finished_at: datetime | None
    attention_since: datetime | None
    owner: str | None
    owned_at: datetime | None


@dataclass(frozen=True)
class Operation:
    """Columns of an operation that may be shown.

    Results can be long and are read where they are wanted.
    """

    id: str
    job_id: str
    step: str
    kind: str
    item: str
    lane: str
    state: str
    pending_dependencies: int
    ready_at: datetime | None
    sent_at: datetime | None
    claim_deadline_at: datetime | None
    heartbeat_deadline_at: datetime | None
    worker_id: str | None
    attempts: int
    max_attempts: int
    started: bool
    irrevocable: bool
    unknown_outcomes: int
    stop_requested: bool
    due_at: datetime | None
    wait_reason: str | None
    error: dict[str, Any] | None
    progress: dict[str, Any] | None
    resolution: str | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def done(self) -> bool:
        return self.state in DONE

    @property
    def in_line(self) -> bool:
        """Ready and waiting for a worker.

        What is queued behind another operation of its chain is not.
        """
        return self.state == OpState.QUEUED and self.pending_dependencies == 0


@dataclass(frozen=True)
class Standing:
    """One job without its definition, which a list can do without: code may be unable to read it.

    `operations` in the order of the graph: actions, then undos (last first), then confirmations.
    """

    job: JobRow
    operations: tuple[Operation, ...]

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Operation]:
        return {(op.step, op.kind): op for op in self.operations if op.item == ""}

    def get(self, step: str, kind: str = Kind.ACTION) -> Operation | None:
        return self._by_key.get((step, kind))

    @property
    def actions(self) -> list[Operation]:
        return [op for op in self.operations if op.kind == Kind.ACTION]

    @property
    def undos(self) -> list[Operation]:
        return [op for op in self.operations if op.kind == Kind.UNDO]

    @property
    def ended(self) -> bool:
        return self.job.state in ENDED

    @cached_property
    def state(self) -> JobState:
        """The state as shown: `pending` and `waiting` are derived here and nowhere stored."""
        stored = JobState(self.job.state)
        if stored != JobState.RUNNING:
            return stored
        if not any(op.started for op in self.operations):
            return JobState.PENDING
        busy = any(
            op.state == OpState.RUNNING
            or op.in_line
            or (op.state == OpState.WAITING and op.wait_reason in BUSY)
            for op in self.operations
        )
        parked = any(op.state == OpState.WAITING for op in self.operations)
        return JobState.WAITING if parked and not busy else JobState.RUNNING

    @property
    def past_return(self) -> Operation | None:
        """The operation after whose start there is no way back, as `engine.turn.past_return`
        decides it; None: it can turn.
        """
        for op in self.operations:
            settled = op.state in (OpState.RUNNING, OpState.COMPLETED) or op.unknown_outcomes > 0
            if op.kind == Kind.CONFIRM or (op.irrevocable and op.kind == Kind.ACTION and settled):
                return op
        return None

    @property
    def can_be_cancelled(self) -> bool:
        """Whether a cancel would turn the job now."""
        return (
            self.job.state == JobState.RUNNING
            and self.job.direction == Dir.FORWARD
            and self.past_return is None
        )

    @property
    def started_at(self) -> datetime | None:
        return min(
            (op.started_at for op in self.operations if op.started_at is not None), default=None
        )


@dataclass(frozen=True)
class Snapshot(Standing):
    """One job and its pinned definition."""

    graph: Graph
    words: Words = NO_WORDS


_JOB = tuple(jobs.c[f.name] for f in fields(JobRow))
_OPERATION = tuple(operations.c[f.name] for f in fields(Operation))


def job_rows() -> Select[Any]:
    """A query over the columns of JobRow."""
    return select(*_JOB)


def load(connection: Connection, job_id: str, tenant_id: str | None) -> Snapshot:
    """One job of this tenant (None: of any).

    Raises: NotFound, also for what cannot be an id; UnreadableDefinition.
    """
    row = None
    if is_id(job_id):
        query = job_rows().where(jobs.c.id == job_id)
        row = connection.execute(
            query if tenant_id is None else query.where(jobs.c.tenant_id == tenant_id)
        ).one_or_none()
    if row is None:
        raise NotFound("There is no such job, or it is not yours.")
    standing, known = load_many(connection, [row])[0], definition(connection, row.digest)
    return Snapshot(standing.job, standing.operations, known.graph, known.words)


def load_many(connection: Connection, rows: Sequence[Any]) -> list[Standing]:
    """How these rows of `job_rows` stand, in their order: one statement for all operations."""
    if not rows:
        return []
    of_job: dict[str, list[Operation]] = {row.id: [] for row in rows}
    o = operations.c
    query = select(*_OPERATION).where(o.job_id.in_(list(of_job))).order_by(o.job_id, o.rank, o.item)
    for row in connection.execute(query):
        of_job[row.job_id].append(Operation(**row._mapping))
    return [Standing(JobRow(**row._mapping), tuple(of_job[row.id])) for row in rows]
