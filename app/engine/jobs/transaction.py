"""One change of one job, under its lock: what it writes, and which messages it lets leave.

It locks the job's row when it begins, so two of one job are one after the other, and everything
read afterwards, in new statements, is the world as it is. Job columns and history are written once,
when it closes.

    with job_transaction(tx, job_id, by=actor) as job_tx:
        job_tx.change(owner=None)
        job_tx.record(HistoryEvent.RELEASED, actor=actor)
    publish(job_tx.plan)  # after the commit

The database's transaction is around it (`transaction(db, work)`), since that may have to be
repeated whole, which the body of a `with` cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from surefoot.app import limits
from surefoot.app.clock import now
from surefoot.app.engine.jobs import event_metrics
from surefoot.app.engine.jobs.dispatch import single_messages
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import Layout, Message, Plan, UndoOrder, lay_out, to_plan
from surefoot.app.rules.states import Dir, Kind
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.naming import queue_name, task_name
from surefoot.app.store import definitions, job_reads, job_writes, message_writes
from surefoot.app.store.actors import key_of
from surefoot.app.store.ids import operation_id
from surefoot.app.store.rows.operations import BriefOperationRow, MessageRow
from surefoot.app.store.undone import undone_steps

_LINE = dict.fromkeys(("step", "kind", "item", "attempt", "fence"))


class JobTransaction:
    """Opened with the job's lock; `close` writes the job, the history, and returns the plan.

    `carried`: operations whose message the delivery behind this transaction sends next by itself,
    should they become ready.
    `by`: the actor; a job of a tenant other than that of their key is not found.
    `noting`: it is sure to record something; then the lock and the number of the first line are one
    write.
    """

    def __init__(
        self,
        tx: Connection,
        job_id: str,
        carried: frozenset[str] = frozenset(),
        *,
        noting: bool = False,
        by: str | None = None,
    ) -> None:
        """Raises: NotFound."""
        self.carried = carried
        self.tx = tx
        noted = job_writes.lock_job_noting(tx, job_id) if noting else None
        self.job = noted or job_reads.lock_job(tx, job_id, by)
        self._numbered = int(noted is not None)  # lines that the job's `seq` counts already
        self.attempt: tuple[str, float] | None = (
            None  # the operation whose attempt ends in this one, and how long that took
        )
        self.waits = False  # whether something of the job is known to be still to come
        self.graph: Graph = definitions.graph_of(tx, self.job.digest)
        self.state: str = self.job.state
        self.direction: str = self.job.direction
        self.cause: str | None = self.job.cause
        self.released: set[str] = set()
        self._changes: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        self._ready: dict[str, BriefOperationRow] = {}
        self._undo_order: UndoOrder | None = None
        self._woken: list[MessageRow] = []
        self.plan: Plan = ()  # to publish after the commit, once it is closed

    def change(self, **changes: Any) -> None:
        """Columns of the job to write at the close."""
        self._changes.update(changes)
        self.state = self._changes.get("state", self.state)
        self.direction = self._changes.get("direction", self.direction)
        self.cause = self._changes.get("cause", self.cause)

    def record(
        self,
        event: HistoryEvent,
        operation: BriefOperationRow | None = None,
        *,
        actor: str | None = None,
        **detail: Any,
    ) -> None:
        """One line of history."""
        row: dict[str, Any] = {"event": event, "actor": actor, "key_id": key_of(actor)}
        row["detail"] = detail or None
        if operation is not None:
            row |= {
                "step": operation.step,
                "kind": operation.kind,
                "item": operation.item,
                "attempt": operation.attempts,
                "fence": operation.fence,
            }
        self._events.append(row)
        event_metrics.note_event(self.graph.saga, event, operation, detail, self._took_s(operation))

    def record_rarely(
        self, event: HistoryEvent, operation: BriefOperationRow, **detail: Any
    ) -> None:
        """As `record`, of what may come again without end: a line for attempt 1, 2, 4, 8 and so on.

        Each is counted.
        """
        if operation.attempts & (operation.attempts - 1) == 0:
            self.record(event, operation, **detail)
        else:
            event_metrics.note_event(
                self.graph.saga, event, operation, detail, self._took_s(operation)
            )

    def _took_s(self, operation: BriefOperationRow | None) -> float | None:
        return (
            self.attempt[1]
            if self.attempt and operation is not None and operation.id == self.attempt[0]
            else None
        )

    def ready(self, operations: Iterable[BriefOperationRow]) -> None:
        """These operations have become ready (queued, nothing pending) in this transaction."""
        for row in operations:
            self._ready[row.id] = row
            self.released.add(row.id)

    def taken(self, operation_id: str) -> None:
        """This one was claimed in the same transaction: no message of it leaves."""
        self._ready.pop(operation_id, None)

    def message(self, step: str, kind: str, item: str = "") -> Message:
        return message_of(self.job.id, self.graph, step, kind, item)

    def close(self) -> Plan:
        """Write the job and its history; what is ready and not carried leaves with the plan."""
        leaves = [row for id_, row in self._ready.items() if id_ not in self.carried]
        plan: Plan = single_messages(self._woken)
        for kind in (Kind.ACTION, Kind.UNDO, Kind.CONFIRM):
            rows = sorted((row for row in leaves if row.kind == kind), key=lambda row: row.rank)
            if rows:
                plan += self._plan(kind, rows)
        first, lines = self.job.seq + 1 - self._numbered, len(self._events)
        if self._changes or lines > self._numbered:
            counters = {"seq": first - 1 + lines, "rev": self.job.rev + 1}
            took_s = job_writes.change_job(self.tx, self.job.id, {**self._changes, **counters})
            if took_s is not None:
                event_metrics.note_job_seconds(self.graph.saga, self.state, took_s)
        if lines:
            job_writes.add_history(
                self.tx,
                [
                    _LINE | event | {"job_id": self.job.id, "seq": first + n}
                    for n, event in enumerate(self._events)
                ],
            )
        self.plan = plan
        return plan

    def end(self, state: str) -> None:
        """The job has ended: final, whatever comes later.

        What it held goes to the next job in the queue.
        """
        self.change(state=state, finished_at=now())
        if self.graph.locks is not None:
            self._woken += limits.release(self.tx, self.job)

    def leave_line(self) -> None:
        """The job waits for no lock any more."""
        if self.graph.locks is not None:
            self._woken += limits.leave(self.tx, self.job)

    def undo_order(self) -> UndoOrder:
        """What is undone after what, once the job has turned."""
        if self._undo_order is None:
            undone = undone_steps(self.tx, self.job.id, committed=self.job.direction == Dir.BACK)
            self._undo_order = UndoOrder(
                undone, self.graph.followers, self.graph.leaders, self.graph.reachable
            )
        return self._undo_order

    def _plan(self, kind: Kind, rows: list[BriefOperationRow]) -> Plan:
        steps = [row.step for row in rows]
        if kind == Kind.ACTION:
            layout = forward_layout(self.graph, steps)
        elif kind == Kind.UNDO:
            order = self.undo_order()
            layout = lay_out(
                steps,
                order.followers,
                order.leaders,
                lambda step: self.graph.by_name[step].lane_of(kind),
            )
        else:
            layout = Layout(tuple((step,) for step in steps), ())
        message_writes.ride_along(
            self.tx, [operation_id(self.job.id, step, "", kind) for step in layout.riding]
        )
        return to_plan(layout, lambda step: self.message(step, kind))


@contextmanager
def job_transaction(
    tx: Connection, job_id: str, *, by: str | None = None
) -> Iterator[JobTransaction]:
    """Change a job in this transaction: closed at the end, not at all when the body raises.

    `by`: as `JobTransaction`. Raises: NotFound.
    """
    job_tx = JobTransaction(tx, job_id, by=by)
    yield job_tx
    job_tx.close()


def forward_layout(graph: Graph, steps: Sequence[str]) -> Layout:
    """How the messages of actions that have become ready leave."""
    node = graph.by_name
    return lay_out(
        steps,
        graph.followers,
        graph.leaders,
        lambda step: node[step].lane_of(Kind.ACTION),
        lambda step: node[step].batchable,
    )


def message_of(job_id: str, graph: Graph, step: str, kind: str, item: str = "") -> Message:
    """The message that rings this operation."""
    return Message(
        operation_id=operation_id(job_id, step, item, kind),
        task=task_name(graph.saga, step, kind),
        queue=queue_name(graph.by_name[step].lane_of(kind), kind),
        job_id=job_id,
        item=item,
    )
