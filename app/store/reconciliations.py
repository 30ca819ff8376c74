"""Statements of reconciliation: whose turn it is, what is looked at, what was found, and its end.

A finding is open or closed; of one key and service there is one open finding of a kind, however
many find it. Open ones are served by partial indexes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, literal_column, select, text, update

from surefoot.app.clock import after, ago, now
from surefoot.app.rules.findings import Finding, FindingAction
from surefoot.app.rules.states import ENDED, OpState
from surefoot.app.rules.waits import HASTENED
from surefoot.app.saga.naming import parse_effect_key
from surefoot.app.store.actors import own
from surefoot.app.store.host import host_of
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.findings import FindingRow
from surefoot.app.store.rows.jobs import ReconciledJobRow, SagaOfJobRow
from surefoot.app.store.session import insert_or
from surefoot.app.store.tables import jobs, operations, periodic_runs, reconciliations

j, o, r, t = jobs.c, operations.c, reconciliations.c, periodic_runs.c
LATE, EFFECTS = "late", "effects"  # the two rounds
OPEN = r.closed_at.is_(None)
NOT_ENDED = text(
    "state IN ('running','compensating','attention')"
)  # as the index says it, or SQLite does not take it
ABOUT_EFFECTS = text("finding <> 'late'")  # the same
IS_ADOPTED = text("action = 'adopted'")  # as its index says it
COUNTED_ROWS = 10_000
IDS_AT_ONCE = 500


# --- whose turn -----------------------------------------------------------------------------------
def is_due(connection: Connection, name: str, every_s: float) -> bool:
    """Whether the last round of this duty began so long ago."""
    return (
        connection.execute(
            select(t.name).where(t.name == name, t.started_at <= ago(every_s))
        ).first()
        is not None
    )


def begin(tx: Connection, name: str, every_s: float) -> str | None:
    """Begin a round that is due.

    Returns the position from where it goes on; None: it is not due, or somebody else has begun it.
    """
    due = (
        update(periodic_runs)
        .where(t.name == name, t.started_at <= ago(every_s))
        .values(started_at=now())
        .returning(t.cursor)
    )
    position: str | None = tx.execute(due).scalar_one_or_none()
    return position


def position_of(connection: Connection, name: str) -> str:
    """Where the last round stopped; "" at the beginning."""
    return connection.execute(select(t.cursor).where(t.name == name)).scalar_one_or_none() or ""


def go_on_at(tx: Connection, name: str, before: str, position: str) -> bool:
    """The next round goes on behind this position. False: another round has moved it meanwhile."""
    return (
        tx.execute(
            update(periodic_runs).where(t.name == name, t.cursor == before).values(cursor=position)
        ).rowcount
        == 1
    )


def hasten(tx: Connection, names: Collection[str], every_s: float) -> int:
    """These rounds are due now. Returns how many there are."""
    return tx.execute(
        update(periodic_runs).where(t.name.in_(names)).values(started_at=ago(every_s))
    ).rowcount


# --- late jobs ------------------------------------------------------------------------------------
def past_sla(connection: Connection, limit: int) -> list[SagaOfJobRow]:
    """(id, saga, digest, state) of jobs that have not ended in the time their saga allows, the
    latest first.
    """
    guards = (j.sla_at.is_not(None), NOT_ENDED, j.sla_at <= now())
    return list(
        connection.execute(
            select(j.id, j.saga, j.digest, j.state).where(*guards).order_by(j.sla_at).limit(limit)
        )
    )


def next_period(tx: Connection, job_id: str, sla_s: float) -> bool:
    """The job's next period begins.

    False: it has ended, or somebody has acted upon it in this period already.
    """
    late = update(jobs).where(j.id == job_id, NOT_ENDED, j.sla_at <= now())
    return tx.execute(late.values(sla_at=after(sla_s))).rowcount == 1


def put_forward(tx: Connection, job_id: str) -> int:
    """What waits between two attempts, or for a worker with its version, may be tried now.

    Returns how many.
    """
    waits = update(operations).where(
        o.job_id == job_id,
        o.state == OpState.WAITING,
        o.wait_reason.in_(HASTENED),
        o.due_at > now(),
    )
    return tx.execute(waits.values(due_at=now())).rowcount


def ready_of(connection: Connection, job_id: str) -> list[str]:
    """Ids of the job's operations for which a worker is waited for."""
    ready = select(o.id).where(
        o.job_id == job_id, o.state == OpState.QUEUED, o.pending_dependencies == literal_column("0")
    )
    return list(connection.scalars(ready.order_by(o.rank)))


def landed(connection: Connection, after_id: str, limit: int) -> tuple[list[str], str]:
    """One page of the open findings of late jobs: (ids of those whose job has ended, where to go
    on; "" at the end).
    """
    page = (
        select(r.id, j.state)
        .join_from(reconciliations, jobs, r.job_id == j.id)
        .where(OPEN, r.finding == Finding.LATE)
    )
    rows = connection.execute(
        (page.where(r.id > after_id) if after_id else page).order_by(r.id).limit(limit)
    ).all()
    return [row.id for row in rows if row.state in ENDED], rows[-1].id if len(rows) == limit else ""


# --- effects --------------------------------------------------------------------------------------
JOB = (j.id, j.tenant_id, j.saga, j.digest, j.state)


def page_of_jobs(connection: Connection, after_id: str, limit: int) -> list[ReconciledJobRow]:
    """Jobs by id, whatever their state: the time of their acceptance is their order."""
    return list(connection.execute(select(*JOB).where(j.id > after_id).order_by(j.id).limit(limit)))


def jobs_of(connection: Connection, job_ids: Collection[str]) -> list[ReconciledJobRow]:
    """The same of these jobs."""
    return (
        list(connection.execute(select(*JOB).where(j.id.in_(job_ids)).order_by(j.id)))
        if job_ids
        else []
    )


def asked_about(connection: Connection, limit: int) -> list[FindingRow]:
    """The oldest open findings about effects."""
    return list(
        connection.execute(
            select(reconciliations).where(OPEN, ABOUT_EFFECTS).order_by(r.id).limit(limit)
        )
    )


def open_of_jobs(connection: Connection, job_ids: Collection[str]) -> list[FindingRow]:
    """Every open finding about these jobs."""
    return (
        list(
            connection.execute(
                select(reconciliations).where(OPEN, r.job_id.in_(job_ids)).order_by(r.id)
            )
        )
        if job_ids
        else []
    )


def unknown_jobs(connection: Connection, keys: Collection[str]) -> set[str]:
    """Those of these effect keys whose job does not exist."""
    named = {
        key: parsed.job
        for key in keys
        if (parsed := parse_effect_key(key)) is not None and is_id(parsed.job)
    }
    wanted = sorted(set(named.values()))
    pages = (wanted[n : n + IDS_AT_ONCE] for n in range(0, len(wanted), IDS_AT_ONCE))
    known = {
        job_id
        for some in pages
        for job_id in connection.scalars(select(j.id).where(j.id.in_(some)))
    }
    return {key for key, job_id in named.items() if job_id not in known}


def adopted_among(connection: Connection, keys: Collection[str]) -> set[tuple[str, str, str]]:
    """(finding, key, service) of what a person has adopted about these keys: it is not found again."""
    wanted = sorted(keys)
    pages = (wanted[n : n + IDS_AT_ONCE] for n in range(0, len(wanted), IDS_AT_ONCE))
    query = select(r.finding, r.key, r.service)
    return {
        tuple(row)
        for some in pages
        for row in connection.execute(query.where(IS_ADOPTED, r.key.in_(some)))
    }


def of_lost_job(connection: Connection, job_id: str) -> list[FindingRow]:
    """The orphans of one lost job, open or adopted, by key."""
    own = (
        r.key > f"{job_id}:",
        r.key < str(UUID(int=UUID(job_id).int + 1)),
    )  # whatever order the index compares by
    found = [
        *connection.execute(select(reconciliations).where(OPEN, r.finding == Finding.ORPHAN, *own))
    ]
    found += connection.execute(
        select(reconciliations).where(IS_ADOPTED, r.finding == Finding.ORPHAN, *own)
    )
    return sorted(
        (row for row in found if row.key.startswith(f"{job_id}:")), key=lambda row: row.key
    )


def every_open(connection: Connection) -> Iterator[FindingRow]:
    """Every open finding about effects, by id, so many at a time."""
    after_id = ""
    while True:
        query = select(reconciliations).where(OPEN, ABOUT_EFFECTS).order_by(r.id).limit(IDS_AT_ONCE)
        rows = list(connection.execute(query.where(r.id > after_id) if after_id else query))
        yield from rows
        if len(rows) < IDS_AT_ONCE:
            return
        after_id = rows[-1].id


# --- what was found -------------------------------------------------------------------------------
def note(tx: Connection, finding: dict[str, Any]) -> bool:
    """Open a finding. False: there is an open one of this finding, key and service already."""
    new = (
        insert_or(tx, reconciliations)
        .values(id=host_of(tx).new_id(), **finding)
        .on_conflict_do_nothing()
    )
    return tx.execute(new.returning(r.id)).first() is not None


def renew(tx: Connection, finding: dict[str, Any]) -> bool:
    """Say in the open finding what was done now. False: there is none."""
    same = (
        OPEN,
        r.finding == finding["finding"],
        r.key == finding["key"],
        r.service == finding["service"],
    )
    return (
        tx.execute(
            update(reconciliations)
            .where(*same)
            .values(action=finding["action"], detail=finding["detail"])
        ).rowcount
        == 1
    )


def close(
    tx: Connection, finding_id: str, *, actor: str, why: str, **values: Any
) -> FindingRow | None:
    """open -> closed. None: it is closed already."""
    said = {"closed_at": now(), "closed_by": actor, "closed_why": why, **values}
    mine = (r.id == finding_id, OPEN, *own(r.tenant_id, actor))
    statement = update(reconciliations).where(*mine).values(said)
    return tx.execute(statement.returning(*reconciliations.c)).one_or_none()


def adopt(
    tx: Connection, finding_id: str, *, actor: str, why: str, detail: dict[str, Any]
) -> FindingRow | None:
    """open -> closed, as adopted. None: it is closed already, or its undo was decided."""
    said = {
        "closed_at": now(),
        "closed_by": actor,
        "closed_why": why,
        "action": FindingAction.ADOPTED,
        "detail": detail,
    }
    mine = (r.id == finding_id, OPEN, *own(r.tenant_id, actor))
    statement = update(reconciliations).where(*mine, r.action != FindingAction.UNDO).values(said)
    return tx.execute(statement.returning(*reconciliations.c)).one_or_none()


def say(
    tx: Connection, finding_id: str, *, actor: str | None, action: str, detail: dict[str, Any]
) -> FindingRow | None:
    """What `actor` decides about an open finding, or came of it (None). None: it is closed."""
    mine = (r.id == finding_id, OPEN, *own(r.tenant_id, actor))
    statement = update(reconciliations).where(*mine).values(action=action, detail=detail)
    return tx.execute(statement.returning(*reconciliations.c)).one_or_none()


def one(connection: Connection, finding_id: str, by: str | None = None) -> FindingRow | None:
    """`by`: the actor; another tenant's finding does not exist for them."""
    mine = (r.id == finding_id, *own(r.tenant_id, by))
    return connection.execute(select(reconciliations).where(*mine)).one_or_none()


def page(
    connection: Connection,
    tenant_id: str | None,
    *,
    only_open: bool,
    after_id: str | None,
    limit: int,
) -> list[FindingRow]:
    """Findings, newest first, older than `after_id`."""
    query = select(reconciliations)
    if only_open:  # by their ids: SQLite would rather walk all there ever were, in order
        query = query.where(r.id.in_(_open_ids(tenant_id)))
    elif tenant_id is not None:
        query = query.where(r.tenant_id == tenant_id).order_by(r.tenant_id.desc())
    if after_id is not None:
        query = query.where(r.id < after_id)
    return list(connection.execute(query.order_by(r.id.desc()).limit(limit)))


def _open_ids(tenant_id: str | None) -> Select[Any]:
    ones = reconciliations.alias("open_ones").c
    query = select(ones.id).where(ones.closed_at.is_(None))
    # no plain comparison, or SQLite takes the index of all that the tenant ever had
    return (
        query
        if tenant_id is None
        else query.where(func.coalesce(ones.tenant_id, ones.tenant_id) == tenant_id)
    )


def open_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """(finding, saga) -> open ones, among the first COUNTED_ROWS."""
    rows = (
        select(r.finding, r.saga)
        .where(OPEN)
        .order_by(r.finding, r.id)
        .limit(COUNTED_ROWS)
        .subquery()
    )
    grouped = select(rows.c.finding, rows.c.saga, func.count()).group_by(
        rows.c.finding, rows.c.saga
    )
    return {(finding, saga): count for finding, saga, count in connection.execute(grouped)}
