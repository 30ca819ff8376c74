"""Ownership of a job in attention: taken, assigned, released. Each is a line of its history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from surefoot.app.clock import now
from surefoot.app.engine.jobs.transaction import Move, job_transaction
from surefoot.app.errors import Conflict
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import JobState
from surefoot.app.store import acts
from surefoot.app.store.acts import Act
from surefoot.app.store.session import transaction

OWNER_CHARACTERS = 128


def take(db: Engine, job_id: str, actor: str) -> None:
    """`actor` sees to it.

    Raises: NotFound; Conflict when the job asks nobody, or somebody else has it.
    """

    def work(tx: Connection) -> None:
        with _asked(tx, job_id, actor) as move:
            if move.job.owner not in (None, actor):
                said = f"{move.job.owner} owns it already; assign it, if that is agreed"
                raise Conflict(said, state=move.state)
            _own(move, actor, actor, "take")

    transaction(db, work, name="assignment.take")


def assign(db: Engine, job_id: str, owner: str, actor: str) -> None:
    """`owner` sees to it, says `actor`. Raises: NotFound; Conflict when the job asks nobody."""

    def work(tx: Connection) -> None:
        with _asked(tx, job_id, actor) as move:
            _own(move, owner, actor, "assign")

    transaction(db, work, name="assignment.assign")


def release(db: Engine, job_id: str, actor: str) -> None:
    """Nobody has it any more.

    Raises: NotFound; Conflict when the job asks nobody, or nobody had it.
    """

    def work(tx: Connection) -> None:
        with _asked(tx, job_id, actor) as move:
            if move.job.owner is None:
                raise Conflict("it has no owner", state=move.state)
            move.change(owner=None, owned_at=None)
            move.record(HistoryEvent.RELEASED, actor=actor, owner=move.job.owner)
            acts.note(tx, actor, _act(move, "release", move.job.owner))

    transaction(db, work, name="assignment.release")


@contextmanager
def _asked(tx: Connection, job_id: str, actor: str) -> Iterator[Move]:
    """A job that asks a person. Raises: NotFound, Conflict."""
    with job_transaction(tx, job_id, by=actor) as move:
        if move.state != JobState.ATTENTION:
            raise Conflict(f"the job is {move.state}: it needs no person", state=move.state)
        yield move


def _act(move: Move, word: str, owner: str) -> Act:
    return Act(
        word, "job", move.job.id, move.job.tenant_id, move.job.id, details={"owner": str(owner)}
    )


def _own(move: Move, owner: str, actor: str, word: str) -> None:
    move.change(owner=owner[:OWNER_CHARACTERS], owned_at=now())
    move.record(HistoryEvent.ASSIGNED, actor=actor, owner=owner[:OWNER_CHARACTERS])
    acts.note(move.tx, actor, _act(move, word, owner[:OWNER_CHARACTERS]))
