"""What a drill on real processes writes into its own store: which faults fire, and that nobody
waits for a clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, select, update

from surefoot.app.clock import after, now
from surefoot.app.rules.states import OpState
from surefoot.app.store.session import asking, insert_or, transaction
from surefoot.app.store.tables import faults_fired, operations

o = operations.c


def set_fired(db: Engine, times: Mapping[str, int]) -> None:
    """Say how often each of these faults has fired: a fault that has fired its TIMES does not fire."""

    def work(tx: Connection) -> None:
        for fault, count in times.items():
            statement = insert_or(tx, faults_fired).values(fault=fault, times=count)
            tx.execute(
                statement.on_conflict_do_update(
                    index_elements=[faults_fired.c.fault], set_={"times": count}
                )
            )

    transaction(db, work)


def fired(db: Engine, fault: str) -> int:
    """How often it has fired."""
    with asking(db) as connection:
        return (
            connection.execute(
                select(faults_fired.c.times).where(faults_fired.c.fault == fault)
            ).scalar()
            or 0
        )


def hurry(db: Engine, job_id: str) -> None:
    """Let what this job waits for be due now: a back-off costs a drill nothing."""

    def work(tx: Connection) -> None:
        tx.execute(
            update(operations)
            .where(o.job_id == job_id, o.state == OpState.WAITING, o.due_at > after(0))
            .values(due_at=after(0))
        )

    transaction(db, work)


def reach_limit(db: Engine, job_id: str, step: str, kind: str) -> None:
    """Let a running attempt be past its hard limit now, as one that hangs will be."""

    def work(tx: Connection) -> None:
        tx.execute(
            update(operations)
            .where(
                o.job_id == job_id,
                o.step == step,
                o.kind == kind,
                o.state == OpState.RUNNING,
                o.hard_deadline_at > now(),
            )
            .values(hard_deadline_at=after(0))
        )

    transaction(db, work)
