"""Writes of jobs, their history and their idempotency keys. The caller holds the job's lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Float, String, Update, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from surefoot.app.clock import after, now
from surefoot.app.rules.states import Dir, JobState
from surefoot.app.store.rows.jobs import LockedJobRow
from surefoot.app.store.shapes import Shaped
from surefoot.app.store.statements import JOB_OF_A_MOVE, ONE
from surefoot.app.store.tables import Id, history, idempotency_keys, job_tags, jobs


def _this_job() -> Update:
    return update(jobs).where(jobs.c.id == bindparam("p_id", type_=Id))


_CHANGE_JOB = Shaped(_this_job, lambda change: change)
_END_JOB = Shaped(_this_job, lambda change: change.returning(jobs.c.created_at, jobs.c.finished_at))


def change_job(tx: Connection, job_id: str, changes: dict[str, Any]) -> float | None:
    """Write what a move decided about its job. The caller holds the job's lock.

    Returns how long the job took, seconds, where this ends it.
    """
    ends = "finished_at" in changes
    change, values = (_END_JOB if ends else _CHANGE_JOB).setting(changes)
    found = tx.execute(change, values | {"p_id": job_id})
    if not ends:
        return None
    accepted, ended = found.one()
    return max(0.0, float((ended - accepted).total_seconds()))


_LOCK_NOTING = (
    update(jobs)
    .where(jobs.c.id == bindparam("p_id", type_=Id))
    .values(seq=jobs.c.seq + ONE, rev=jobs.c.rev + ONE)
    .returning(*(jobs.c[name] for name in JOB_OF_A_MOVE))
)


def lock_job_noting(tx: Connection, job_id: str) -> LockedJobRow | None:
    """Lock the job for a move that writes one line of history at least, and number that line: one
    write of the job, not two.
    """
    return tx.execute(_LOCK_NOTING, {"p_id": job_id}).one_or_none()


_NEW_JOB = insert(jobs).values(
    state=JobState.RUNNING,
    direction=Dir.FORWARD,
    created_at=now(),
    deadline_at=after(bindparam("p_deadline_s", type_=Float)),  # null plus seconds is null
    sla_at=after(bindparam("p_sla_s", type_=Float)),
    seq=1,
    rev=1,
)


def insert_job(
    tx: Connection, row: dict[str, Any], *, deadline_s: float | None, sla_s: float | None
) -> None:
    """A new job, whose first line of history the caller adds.

    `row`: its other columns; `deadline_s`, `sla_s`: seconds from now, or None.
    """
    tx.execute(_NEW_JOB, row | {"p_deadline_s": deadline_s, "p_sla_s": sla_s})


_ADD_TAGS = insert(job_tags).from_select(
    ["tenant_id", "tag", "created_at", "job_id"],
    select(jobs.c.tenant_id, bindparam("p_tag", type_=String), jobs.c.created_at, jobs.c.id).where(
        jobs.c.id == bindparam("p_id", type_=Id)
    ),
)


def add_tags(tx: Connection, job_id: str, tags: Sequence[str]) -> None:
    """The words that a new job is found by, each once."""
    tx.execute(_ADD_TAGS, [{"p_id": job_id, "p_tag": tag} for tag in dict.fromkeys(tags)])


_ADD_HISTORY = insert(history)


def add_history(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Append events; `seq` was given out under the job's lock."""
    tx.execute(_ADD_HISTORY, rows[0] if len(rows) == 1 else list(rows))


_TAKE_KEY = {
    "sqlite": sqlite.insert(idempotency_keys)
    .on_conflict_do_nothing()
    .returning(idempotency_keys.c.job_id),
    "postgresql": postgresql.insert(idempotency_keys)
    .on_conflict_do_nothing()
    .returning(idempotency_keys.c.job_id),
}


def take_idempotency_key(
    tx: Connection, tenant_id: str, key: str, fingerprint: str, job_id: str
) -> bool:
    """Bind a key to its job.

    False: another job has it. Waits for a transaction that is about to take it.
    """
    statement = _TAKE_KEY[tx.dialect.name]
    row = {"tenant_id": tenant_id, "key": key, "fingerprint": fingerprint, "job_id": job_id}
    return tx.execute(statement, row).first() is not None
