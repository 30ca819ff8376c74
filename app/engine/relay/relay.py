"""The relay's round: find what a crash left behind, each by a partial index, and heal it with the ordinary moves.

The broker may lose, repeat or reorder at will; what it loses is found here. Everything repeats its guard when it writes,
so two relays at once, or one that slept, do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.delivery.broker import BrokerProbe
from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.jobs.compensation import turn
from surefoot.app.engine.jobs.dead_letters import ask_a_person
from surefoot.app.engine.jobs.dispatch import Publishes, alone, ring
from surefoot.app.engine.jobs.fairness import InTurn, Turns
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.release import finish
from surefoot.app.engine.jobs.transaction import Move
from surefoot.app.engine.operators.redrive import carry_out
from surefoot.app.engine.relay import sla, unclaimed
from surefoot.app.engine.relay.broker_lost import BrokerLost
from surefoot.app.engine.relay.dead_letter_queue import Mirror
from surefoot.app.engine.relay.lost_messages import Lost
from surefoot.app.engine.relay.retention import Retention
from surefoot.app.errors import NotFound, StoreUnavailable
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import Plan
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import Cause, Dir, JobState, Kind, OpState
from surefoot.app.store import queries, updates
from surefoot.app.store.session import reading, transaction

T = TypeVar("T")
log = structlog.get_logger("surefoot.sweep")
WAKE_BATCHES = 5  # batches of SUREFOOT_SWEEP_ROWS in one round
NIL = "00000000-0000-0000-0000-000000000000"  # before every id


@dataclass
class Sweeper:
    """One relay's sweeps. Holds only where the paging of open jobs stands, and what was set aside or seen of the queues."""

    db: Engine
    settings: Settings
    publisher: Publishes
    broker: BrokerProbe
    mirror: Mirror | None = None
    page_after: str = ""
    strict: bool = False  # let mistakes through: for tests and the simulation
    found: dict[str, int] = field(default_factory=dict)
    entrance: Entrance = field(init=False)
    isolated: Isolated = field(init=False)
    broker_lost: BrokerLost = field(init=False)
    lost: Lost = field(init=False)
    turns: Turns = field(init=False)
    retention: Retention = field(init=False)

    def __post_init__(self) -> None:
        self.isolated = Isolated(self.strict)
        self.broker_lost = BrokerLost(self.db, self.broker)
        self.lost = Lost(self.db, self.settings, self.publisher, self.broker)
        self.turns = Turns(self.settings)
        self.retention = Retention(self.db, self.settings)
        self.entrance = Entrance.of(
            self.db, self.settings
        )  # no registry: a relay has no code of sagas

    def run_once(self) -> dict[str, int]:
        """One round. Returns how many of each kind were found. What cannot be handled is left out (`isolated.failed`).

        Raises: StoreUnavailable.
        """
        self.found, self.isolated.failed = {}, {}
        for name, duty in (
            ("expired", self._expired),
            ("woken", self._due),
            ("deadline", self._deadlines),
            ("nobody_came", self._nobody_came),
            ("stranded", self._stranded),
            ("idle", self._idle),
            ("undo_late", self._undo_late),
            ("redriven", self._redrives),
            ("late", self._late),
            ("broker_lost", self.broker_lost.run_once),
            ("unsent", self._unsent),
            ("lost", self.lost.run_once),
            ("mirrored", self._mirrored),
            ("deleted", self.retention.run_once),
        ):
            count = self.isolated.whole(name, duty, self._store_answers)
            if count:
                self.found[name] = count
        if self.found:
            log.info("swept", **self.found)
        return self.found

    # --- time has passed -------------------------------------------------------------------------------------------
    def _expired(self) -> int:
        rows = self._read("expired", lambda c: queries.expired(c, self._room("expired")))
        return self.isolated.each(
            "expired",
            rows,
            lambda row: self._land(
                attempts.expire(self.db, self.settings, row.id, row.job_id, row.token)
            ),
        )

    def _due(self) -> int:
        woken = 0
        for _ in range(WAKE_BATCHES):
            ids = transaction(
                self.db, lambda tx: updates.wake_due(tx, self.settings.sweep_rows), name="relay.due"
            )
            if ids:
                ring(
                    self.db,
                    self.publisher,
                    alone(self._read("due", lambda c, ids=ids: queries.to_ring(c, ids))),  # type: ignore[misc]
                )
            woken += len(ids)
            if len(ids) < self.settings.sweep_rows:
                break
        return woken

    def _nobody_came(self) -> int:
        return unclaimed.sweep(self.db, self.settings, self.publisher, self.isolated)

    def _deadlines(self) -> int:
        ids = self._read("deadline", lambda c: queries.past_deadline(c, self._room("deadline")))
        return self._move_each("deadline", ids, self._past_deadline)

    def _past_deadline(self, move: Move) -> None:
        if (
            move.dir != Dir.FORWARD
            or move.state != JobState.RUNNING
            or move.job.deadline_at is None
        ):
            return
        if not turn(move, Cause.DEADLINE, "its deadline passed", undo_s=self.settings.undo_seconds):
            move.change(deadline_at=None, late=True)
            move.record(HistoryEvent.DEADLINE_MISSED)

    def _undo_late(self) -> int:
        ids = self._read("undo_late", lambda c: queries.past_undo_by(c, self._room("undo_late")))
        return self._move_each("undo_late", ids, self._past_undo_by)

    def _past_undo_by(self, move: Move) -> None:
        open_undos = [
            row
            for row in queries.operations_of(move.tx, move.job.id, Kind.UNDO)
            if row.state not in (OpState.COMPLETED, OpState.SKIPPED)
        ]
        move.change(undo_by=None)
        if move.state == JobState.COMPENSATING and open_undos:
            error = {
                "type": "UndoLate",
                "message": "undoing takes longer than it may (SUREFOOT_UNDO_SECONDS)",
            }
            ask_a_person(move, open_undos[0], why=FailureReason.LATE_UNDO, error=error)

    def _redrives(self) -> int:
        return carry_out(self.entrance, self.publisher, self.isolated)

    def _late(self) -> int:
        return sla.sweep(self.db, self.settings, self.publisher, self.isolated)

    # --- a crash left it -------------------------------------------------------------------------------------------
    def _stranded(self) -> int:
        rows = self._read("stranded", lambda c: queries.stranded(c, self._room("stranded")))
        return self._move_each(
            "stranded", dict.fromkeys(row.job_id for row in rows), _queue_stranded
        )

    def _idle(self) -> int:
        ids, self.page_after = self._read(
            "idle", lambda c: queries.idle(c, self.page_after or NIL, self.settings.sweep_rows)
        )
        return self._move_each("idle", ids, _end_idle)

    # --- the broker lost it ----------------------------------------------------------------------------------------
    def _unsent(self) -> int:
        rows = self._read("unsent", self.turns.next_rows)
        # these were let in already
        publisher = self.publisher.inner if isinstance(self.publisher, InTurn) else self.publisher
        return len(rows) if rows and ring(self.db, publisher, alone(rows)) else 0

    @property
    def held_back(self) -> bool:
        """Whether there are messages that wait for room in their lane (`take_turns`)."""
        return self.turns.held_back

    def take_turns(self) -> int:
        """Publish what there is room for now, between two rounds. Returns how many operations."""
        return self.isolated.whole("unsent", self._unsent, self._store_answers)

    def _mirrored(self) -> int:
        return self.mirror.run_once() if self.mirror is not None else 0

    # --- how -------------------------------------------------------------------------------------------------------
    def _read(self, duty: str, query: Callable[[Connection], T]) -> T:
        with reading(self.db, name=f"relay.{duty}") as connection:
            return query(connection)

    def _land(self, ended: attempts.Ended) -> int:
        ring(self.db, self.publisher, ended.plan)
        return int(ended.landed)

    def _room(self, duty: str) -> int:
        return self.isolated.room(duty, self.settings.sweep_rows)

    def _store_answers(self) -> bool:
        try:
            self._read("time_of", queries.time_of)
        except StoreUnavailable:
            return False
        return True

    def _move_each(self, duty: str, job_ids: Iterable[str], change: Callable[[Move], None]) -> int:
        def one(job_id: str) -> int:
            plan = transaction(self.db, lambda tx: _moved(tx, job_id, change), name=f"relay.{duty}")
            ring(self.db, self.publisher, plan)
            return 1

        return self.isolated.each(duty, job_ids, one)


def _moved(tx: Connection, job_id: str, change: Callable[[Move], None]) -> Plan:
    try:
        move = Move(tx, job_id)
    except NotFound:
        return ()
    change(move)
    return move.close()


def _queue_stranded(move: Move) -> None:
    """Pending with nothing missing: release queues in the same transaction, so this is somebody's mistake. Heal and say so."""
    rows = [
        row
        for row in queries.operations_of(move.tx, move.job.id)
        if row.state == OpState.PENDING and row.missing == 0
    ]
    queued = updates.queue_operations(move.tx, [row.id for row in rows], only=OpState.PENDING)
    for row in queued:
        move.record(HistoryEvent.REQUEUED_BY_SWEEP, row)
    move.ready(queued)


def _end_idle(move: Move) -> None:
    if move.state in (JobState.RUNNING, JobState.COMPENSATING):
        finish(move)
