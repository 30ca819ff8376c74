"""The relay's round: find what a crash left behind, each by a partial index, and heal it with the ordinary moves.

The broker may lose, repeat or reorder at will; what it loses is found here. Everything repeats its guard when it writes,
so two relays at once, or one that slept, do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine

from app.config import Settings
from app.delivery.broker import BrokerProbe
from app.engine import attempt as attempts
from app.engine import late, unattended
from app.engine.advance import finish
from app.engine.dispatch import Publishes, alone, ring
from app.engine.entrance import Entrance
from app.engine.letters import ask_a_person
from app.engine.mirror import Mirror
from app.engine.move import Move
from app.engine.redrive import carry_out
from app.engine.turn import turn
from app.errors import BrokerUnavailable, NotFound
from app.rules.planner import Plan
from app.rules.states import Cause, Dir, JobState, Kind, OpState
from app.saga.naming import queue_name
from app.store import queries, updates
from app.store.ids import new_id
from app.store.session import reading, transaction

T = TypeVar("T")
log = structlog.get_logger("surefoot.sweep")
WAKE_BATCHES = 5  # batches of SUREFOOT_SWEEP_ROWS in one round
NIL = "00000000-0000-0000-0000-000000000000"  # before every id


@dataclass
class Sweeper:
    """One relay's sweeps. Holds only where the paging of open jobs stands."""

    db: Engine
    settings: Settings
    publisher: Publishes
    broker: BrokerProbe
    mirror: Mirror | None = None
    page_after: str = ""
    broker_was_away: bool = False
    found: dict[str, int] = field(default_factory=dict)
    entrance: Entrance = field(init=False)

    def __post_init__(self) -> None:
        self.entrance = Entrance.of(self.db, self.settings)  # no registry: a relay has no code of sagas

    def run_once(self) -> dict[str, int]:
        """One round. Returns how many of each kind were found."""
        self.found = {}
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
            ("broker_lost", self._broker_lost),
            ("unsent", self._unsent),
            ("lost", self._lost),
            ("mirrored", self._mirrored),
        ):
            count = duty()
            if count:
                self.found[name] = count
        if self.found:
            log.info("swept", **self.found)
        return self.found

    # --- time has passed -------------------------------------------------------------------------------------------
    def _expired(self) -> int:
        rows = self._read(lambda c: queries.expired(c, self.settings.sweep_rows))
        return sum(self._land(attempts.expire(self.db, self.settings, row.id, row.job_id, row.token)) for row in rows)

    def _due(self) -> int:
        woken = 0
        for _ in range(WAKE_BATCHES):
            ids = transaction(self.db, lambda tx: updates.wake_due(tx, self.settings.sweep_rows))
            if ids:
                ring(self.db, self.publisher, alone(self._read(lambda c, ids=ids: queries.to_ring(c, ids))))  # type: ignore[misc]
            woken += len(ids)
            if len(ids) < self.settings.sweep_rows:
                break
        return woken

    def _nobody_came(self) -> int:
        return unattended.sweep(self.db, self.settings, self.publisher)

    def _deadlines(self) -> int:
        ids = self._read(lambda c: queries.past_deadline(c, self.settings.sweep_rows))
        return self._move_each(ids, self._past_deadline)

    def _past_deadline(self, move: Move) -> None:
        if move.dir != Dir.FORWARD or move.state != JobState.RUNNING or move.job.deadline_at is None:
            return
        if not turn(move, Cause.DEADLINE, "its deadline passed", undo_s=self.settings.undo_seconds):
            move.change(deadline_at=None, late=True)
            move.record("late")

    def _undo_late(self) -> int:
        ids = self._read(lambda c: queries.past_undo_by(c, self.settings.sweep_rows))
        return self._move_each(ids, self._past_undo_by)

    def _past_undo_by(self, move: Move) -> None:
        open_undos = [
            row for row in queries.operations_of(move.tx, move.job.id, Kind.UNDO) if row.state not in (OpState.COMPLETED, OpState.SKIPPED)
        ]
        move.change(undo_by=None)
        if move.state == JobState.COMPENSATING and open_undos:
            error = {"type": "UndoLate", "message": "undoing takes longer than it may (SUREFOOT_UNDO_SECONDS)"}
            ask_a_person(move, open_undos[0], why="late_undo", error=error)

    def _redrives(self) -> int:
        return carry_out(self.entrance, self.publisher)

    def _late(self) -> int:
        return late.sweep(self.db, self.settings, self.publisher)

    # --- a crash left it -------------------------------------------------------------------------------------------
    def _stranded(self) -> int:
        rows = self._read(lambda c: queries.stranded(c, self.settings.sweep_rows))
        return self._move_each(dict.fromkeys(row.job_id for row in rows), _queue_stranded)

    def _idle(self) -> int:
        ids, self.page_after = self._read(lambda c: queries.idle(c, self.page_after or NIL, self.settings.sweep_rows))
        return self._move_each(ids, _end_idle)

    # --- the broker lost it ----------------------------------------------------------------------------------------
    def _broker_lost(self) -> int:
        """A broker that was away may have lost what was sent last, even if its marker is there."""
        try:
            lost = ring_anew_if_lost(self.db, self.broker, came_back=self.broker_was_away)
        except BrokerUnavailable:
            self.broker_was_away = True
            return 0
        self.broker_was_away = False
        return lost

    def _unsent(self) -> int:
        rows = self._read(lambda c: queries.unsent(c, self.settings.unsent_seconds, self.settings.sweep_rows))
        return len(rows) if rows and ring(self.db, self.publisher, alone(rows)) else 0

    def _lost(self) -> int:
        """Sent long ago and not claimed. While its queue is not empty the message may still be in it: then wait longer."""
        rows = self._read(
            lambda c: queries.sent_long_ago(c, self.settings.lease_seconds, self.settings.lost_seconds, self.settings.sweep_rows)
        )
        if not rows:
            return 0
        try:
            depths = self.broker.depth(sorted({queue_name(row.lane, row.kind) for row in rows}))
        except BrokerUnavailable:
            return 0
        gone = [row for row in rows if row.overdue or depths.get(queue_name(row.lane, row.kind), 0) == 0]
        if not gone or not self.publisher.publish(alone(gone)):
            return 0
        transaction(self.db, lambda tx: updates.mark_sent_again(tx, [row.id for row in gone]))
        return len(gone)

    def _mirrored(self) -> int:
        return self.mirror.run_once() if self.mirror is not None else 0

    # --- how -------------------------------------------------------------------------------------------------------
    def _read(self, query: Callable[[Connection], T]) -> T:
        with reading(self.db) as connection:
            return query(connection)

    def _land(self, ended: attempts.Ended) -> int:
        ring(self.db, self.publisher, ended.plan)
        return int(ended.landed)

    def _move_each(self, job_ids: Sequence[str] | dict[str, None], change: Callable[[Move], None]) -> int:
        for job_id in job_ids:
            ring(self.db, self.publisher, transaction(self.db, lambda tx, job_id=job_id: _moved(tx, job_id, change)))  # type: ignore[misc]
        return len(job_ids)


def ring_anew_if_lost(db: Engine, broker: BrokerProbe, *, came_back: bool = False) -> int:
    """The broker's marker is gone: so is every message. What is queued counts as unsent, and the marker is left anew.

    Returns: how many operations will be rung again. Raises: BrokerUnavailable.
    """
    kept = broker.marker() is not None
    if kept and not came_back:
        return 0
    forgotten = transaction(db, updates.forget_sent)
    if not kept:
        broker.set_marker(new_id())
    return forgotten


def _moved(tx: Connection, job_id: str, change: Callable[[Move], None]) -> Plan:
    try:
        move = Move(tx, job_id)
    except NotFound:
        return ()
    change(move)
    return move.close()


def _queue_stranded(move: Move) -> None:
    """Pending with nothing missing: release queues in the same transaction, so this is somebody's mistake. Heal and say so."""
    rows = [row for row in queries.operations_of(move.tx, move.job.id) if row.state == OpState.PENDING and row.missing == 0]
    queued = updates.queue_operations(move.tx, [row.id for row in rows], only=OpState.PENDING)
    for row in queued:
        move.record("unstranded", row)
    move.ready(queued)


def _end_idle(move: Move) -> None:
    if move.state in (JobState.RUNNING, JobState.COMPENSATING):
        finish(move)
