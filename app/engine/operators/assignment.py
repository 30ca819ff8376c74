"""Ownership of a job in attention: taken, assigned, released. Each is a line of its history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from surefoot.app.clock import now
from surefoot.app.engine.jobs.transaction import JobTransaction, job_transaction
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
        with _asked(tx, job_id, actor) as job_tx:
            if job_tx.job.owner not in (None, actor):
                said = f"{job_tx.job.owner} owns it already; assign it, if that is agreed"
                raise Conflict(said, state=job_tx.state)
            _own(job_tx, actor, actor, "take")

    transaction(db, work, name="assignment.take")


def assign(db: Engine, job_id: str, owner: str, actor: str) -> None:
    """`owner` sees to it, says `actor`. Raises: NotFound; Conflict when the job asks nobody."""

    def work(tx: Connection) -> None:
        with _asked(tx, job_id, actor) as job_tx:
            _own(job_tx, owner, actor, "assign")

    transaction(db, work, name="assignment.assign")


def release(db: Engine, job_id: str, actor: str) -> None:
    """Nobody has it any more.

    Raises: NotFound; Conflict when the job asks nobody, or nobody had it.
    """

    def work(tx: Connection) -> None:
        with _asked(tx, job_id, actor) as job_tx:
            if job_tx.job.owner is None:
                raise Conflict("it has no owner", state=job_tx.state)
            job_tx.change(owner=None, owned_at=None)
            job_tx.record(HistoryEvent.RELEASED, actor=actor, owner=job_tx.job.owner)
            acts.note(tx, actor, _act(job_tx, "release", job_tx.job.owner))

    transaction(db, work, name="assignment.release")


@contextmanager
def _asked(tx: Connection, job_id: str, actor: str) -> Iterator[JobTransaction]:
    """A job that asks a person. Raises: NotFound, Conflict."""
    with job_transaction(tx, job_id, by=actor) as job_tx:
        if job_tx.state != JobState.ATTENTION:
            raise Conflict(f"the job is {job_tx.state}: it needs no person", state=job_tx.state)
        yield job_tx


def _act(job_tx: JobTransaction, word: str, owner: str) -> Act:
    return Act(
        word,
        "job",
        job_tx.job.id,
        job_tx.job.tenant_id,
        job_tx.job.id,
        details={"owner": str(owner)},
    )


def _own(job_tx: JobTransaction, owner: str, actor: str, word: str) -> None:
    job_tx.change(owner=owner[:OWNER_CHARACTERS], owned_at=now())
    job_tx.record(HistoryEvent.ASSIGNED, actor=actor, owner=owner[:OWNER_CHARACTERS])
    acts.note(job_tx.tx, actor, _act(job_tx, word, owner[:OWNER_CHARACTERS]))
