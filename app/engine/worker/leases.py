"""Keeping what workers hold: heartbeats, the end of a killed child's claim, hand-back at shutdown,
the register.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.jobs.attempt import Attempt, Failure
from surefoot.app.engine.jobs.dispatch import Publishes, publish_plan
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.store import attempt_writes, catalogue, operation_reads, worker_register
from surefoot.app.store.claims import Holder
from surefoot.app.store.session import asking, execute_single, transaction


@dataclass(frozen=True)
class HeartbeatResult:
    """`overdue`: (delivery, pid of the child, why) of what must end; their lease was not renewed."""

    renewed: int
    overdue: tuple[tuple[str, int, str], ...]


def renew_leases(
    db: Engine, settings: Settings, worker_id: str, deliveries: Sequence[str]
) -> HeartbeatResult:
    """Renew the leases of what this worker's children are at, in one UPDATE.

    `deliveries`: ids of the messages they have.
    """
    if not deliveries:
        return HeartbeatResult(0, ())
    renewed = execute_single(
        db,
        lambda tx: attempt_writes.renew_leases(tx, worker_id, deliveries, settings.lease_seconds),
        name="leases.beat",
    )
    missed = set(deliveries) - renewed
    if not missed:
        return HeartbeatResult(len(renewed), ())
    with asking(db, name="leases.beat") as connection:
        rows = operation_reads.overdue(connection, worker_id, missed)
    overdue = (
        (row.message_id, row.pid, "no heartbeat" if row.stalled else "past its hard limit")
        for row in rows
    )
    return HeartbeatResult(len(renewed), tuple(overdue))


def report_child_lost(
    db: Engine, settings: Settings, publisher: Publishes, holder: Holder, why: str
) -> bool:
    """A child was killed: end its claim, the outcome is unknown. Celery puts its message back.

    `holder`: with its message. Returns False when it had no claim.
    """
    assert holder.message is not None, "the claim is found by the message"
    with asking(db, name="leases.lost") as connection:
        row = operation_reads.claimed_by(connection, holder.message, holder.worker_id, holder.pid)
    if row is None:
        return False
    attempt = Attempt(row.id, row.job_id, row.token, row.attempts, row.fence, row.unknown_outcomes)
    if row.stalled:
        said = f"no heartbeat for {row.stall_s:g} s (heartbeat_timeout)"
        failure = Failure(
            FailureReason.STALLED, {"type": "Stalled", "message": said}, message_returns=True
        )
    else:
        failure = Failure(
            FailureReason.LOST, {"type": "WorkerLost", "message": why}, message_returns=True
        )
    ended = attempts.fail(db, settings, attempt, failure)
    publish_plan(db, publisher, ended.plan)
    return ended.applied


def release_on_shutdown(db: Engine, publisher: Publishes, worker_id: str) -> int:
    """This worker shuts down: what still runs goes back, no attempt used. Returns how many."""
    with asking(db, name="leases.hand_back") as connection:
        rows = operation_reads.held_by(connection, worker_id)
    given = 0
    for row in rows:
        ended = attempts.hand_back(db, row.id, row.job_id, row.token)
        publish_plan(db, publisher, ended.plan)
        given += ended.applied
    return given


@dataclass(frozen=True)
class WorkerProcess:
    """A worker as it signs on.

    `digests`: of the definitions that it has; `concurrency`: how many children it has.
    """

    host: str
    pid: int
    lanes: Sequence[str]
    digests: Sequence[str]
    concurrency: int


def register_worker(db: Engine, worker_id: str, worker: WorkerProcess) -> None:
    """Write this worker into the register."""
    values: dict[str, Any] = {
        "worker_id": worker_id,
        "host": worker.host,
        "pid": worker.pid,
        "lanes": list(worker.lanes),
        "digests": list(worker.digests),
        "concurrency": worker.concurrency,
    }

    def work(tx: Connection) -> None:
        if not worker_register.see_worker(tx, worker_id):
            worker_register.add_worker(tx, values)
        catalogue.served(tx, worker.digests)

    transaction(db, work, name="leases.register_worker")


@dataclass(frozen=True)
class AtWork:
    """What a worker really does, not what it was told to do.

    `consuming`: names of the queues it takes messages from; None: it has not been connected yet.
    `children`: how many processes of its pool there are; None: that cannot be told.
    """

    consuming: tuple[str, ...] | None
    children: int | None

    def columns(self) -> dict[str, Any]:
        consuming = None if self.consuming is None else list(self.consuming)
        return {"consuming": consuming, "children": self.children}


def worker_seen(
    db: Engine, worker_id: str, digests: Sequence[str] = (), at_work: AtWork | None = None
) -> bool:
    """Say that this worker lives, has these definitions, and what it does.

    False: the register has forgotten it; register again.
    """
    columns = at_work.columns() if at_work is not None else None
    known = execute_single(
        db, lambda tx: worker_register.see_worker(tx, worker_id, columns), name="leases.worker_seen"
    )
    if known and digests:
        execute_single(db, lambda tx: catalogue.served(tx, digests), name="leases.worker_seen")
    return known


def worker_stopped(db: Engine, worker_id: str) -> None:
    """Say that this worker has ended on purpose.

    What nobody else has is deployed no longer: no new job is pinned to it.
    """

    def work(tx: Connection) -> None:
        had = worker_register.stop_worker(tx, worker_id)
        others = worker_register.digests_of_live_workers(tx)
        catalogue.withdrawn(tx, had - others)

    transaction(db, work, name="leases.worker_stopped")
