"""Statements about dead letters: which are meant, when each is redriven, and their end.

A letter is open or closed. To close one, a statement names `state = 'open'` in the UPDATE, so of
two people, or of a person and the relay, one wins. Open letters are served by partial indexes: a
store with millions of closed ones answers alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.types import Float

from surefoot.app.clock import after, ago, now
from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.reasons import ASKING
from surefoot.app.rules.states import LetterState
from surefoot.app.store.actors import key_of, own
from surefoot.app.store.host import host_of
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.dead_letters import (
    DeadLetterRow,
    DueLetterRow,
    LetterId,
    LetterOfJobRow,
    MirroredLetterRow,
    UnscheduledRow,
)
from surefoot.app.store.statements import OPEN, in_text
from surefoot.app.store.tables import dead_letters, jobs

d, j = dead_letters.c, jobs.c


@dataclass(frozen=True)
class DeadLetterFilter:
    """Which letters are meant; what is None is not asked.

    `tenant_id` None: everybody's; `state`: open, closed or None for both.
    """

    tenant_id: str | None = None
    state: str | None = LetterState.OPEN
    saga: str | None = None
    step: str | None = None
    why: str | None = None
    needs_person: bool | None = None
    job_id: str | None = None

    def guards(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.tenant_id is not None:
            found.append(d.tenant_id == self.tenant_id)
        if self.state is not None:
            found.append(
                d.state == (OPEN if self.state == LetterState.OPEN else in_text(LetterState.CLOSED))
            )
        for column, value in (
            (d.saga, self.saga),
            (d.step, self.step),
            (d.why, self.why),
            (d.job_id, self.job_id),
        ):
            if value is not None:
                found.append(column == value)
        if self.needs_person is not None:
            found.append(d.needs_person if self.needs_person else ~d.needs_person)
        return found


def _rows() -> Select[Any]:
    return select(dead_letters, j.state.label("job_state"), j.digest).join_from(
        dead_letters, jobs, d.job_id == j.id
    )


def page(
    connection: Connection, meant: DeadLetterFilter, after_id: str | None, limit: int
) -> list[LetterOfJobRow]:
    """Letters with the state of their job (`job_state`) and its `digest`, newest first, older than
    `after_id`.
    """
    if meant.job_id is not None:
        return _page_of_job(connection, meant, after_id, limit)
    query = _rows().where(*meant.guards())
    if after_id is not None:
        query = query.where(d.id < after_id)
    order = (d.id.desc(),) if meant.tenant_id is None else (d.tenant_id.desc(), d.id.desc())
    return list(connection.execute(query.order_by(*order).limit(limit)))


def _page_of_job(
    connection: Connection, meant: DeadLetterFilter, after_id: str | None, limit: int
) -> list[LetterOfJobRow]:
    """The same of one job, which has few: its tenant is asked of the job, so that no index of the
    tenant's letters is walked.
    """
    query = _rows().where(*replace(meant, tenant_id=None).guards())
    if meant.tenant_id is not None:
        query = query.where(j.tenant_id == meant.tenant_id)
    rows: list[LetterOfJobRow] = list(
        connection.execute(query.order_by(d.job_id.desc(), d.id.desc()))
    )
    return [row for row in rows if after_id is None or row.id < after_id][:limit]


def one(connection: Connection, letter_id: str, tenant_id: str | None) -> LetterOfJobRow | None:
    """A letter with the state of its job and its `digest`, if it is this tenant's (None:
    anybody's).
    """
    guards = [d.id == letter_id] + ([d.tenant_id == tenant_id] if tenant_id is not None else [])
    return connection.execute(_rows().where(*guards)).one_or_none()


# --- read by the engine --------------------------------------------------------------------------
def blocking_letters(connection: Connection, job_id: str) -> list[DeadLetterRow]:
    return list(
        connection.execute(
            select(dead_letters).where(d.job_id == job_id, d.state == OPEN, d.blocking)
        )
    )


def open_letters(connection: Connection, job_id: str) -> list[DeadLetterRow]:
    """The open dead letters of a job, oldest first."""
    query = select(dead_letters).where(d.job_id == job_id, d.state == OPEN).order_by(d.id)
    return list(connection.execute(query))


def open_letter_of(connection: Connection, operation_id: str) -> DeadLetterRow | None:
    return connection.execute(
        select(dead_letters).where(d.operation_id == operation_id, d.state == OPEN)
    ).one_or_none()


def was_retried(connection: Connection, job_id: str, operation_id: str) -> bool:
    """Whether the last decision about this operation was to try it again."""
    last = (
        select(d.resolution)
        .where(d.job_id == job_id, d.operation_id == operation_id, d.state != OPEN)
        .order_by(d.id.desc())
        .limit(1)
    )
    return connection.execute(last).scalar_one_or_none() == Resolution.RETRIED


def letter(connection: Connection, letter_id: str, by: str | None = None) -> DeadLetterRow | None:
    """`by`: the actor; another tenant's letter does not exist for them."""
    query = select(dead_letters).where(d.id == letter_id, *own(d.tenant_id, by))
    return connection.execute(query).one_or_none() if is_id(letter_id) else None


def open_one(tx: Connection, columns: Mapping[str, Any]) -> None:
    """A new dead letter with these columns; its id is given here. The table refuses a second open
    one of an operation.
    """
    tx.execute(insert(dead_letters).values(id=host_of(tx).new_id(), **columns))


# --- redriven by the clock ------------------------------------------------------------------------
def unscheduled(
    connection: Connection, meant: DeadLetterFilter, limit: int
) -> list[UnscheduledRow]:
    """(id, job_id, tenant_id, saga, step) of open letters that are not scheduled yet, oldest first.

    Those that hold their job because nobody knows whether it happened are meant only where they are
    named (`why`).
    """
    columns = (d.id, d.job_id, d.tenant_id, d.saga, d.step)
    query = select(*columns).where(*meant.guards(), d.state == OPEN, d.redrive_at.is_(None))
    if meant.why is None:
        query = query.where(or_(~d.blocking, d.why.not_in(ASKING)))
    return list(connection.execute(query.order_by(d.id).limit(limit)))


def schedule(tx: Connection, offsets: Sequence[tuple[str, float]], *, actor: str, why: str) -> int:
    """Send each of these back so many seconds from now.

    Returns how many were still open and not yet scheduled.
    """
    statement = (
        update(dead_letters)
        .where(
            d.id == bindparam("p_id"),
            d.state == OPEN,
            d.redrive_at.is_(None),
            *own(d.tenant_id, actor),
        )
        .values(
            redrive_at=after(bindparam("p_in_s", type_=Float)),
            redrive_by=actor,
            redrive_key=key_of(actor),
            redrive_why=why,
        )
    )
    rows = [{"p_id": letter_id, "p_in_s": in_s} for letter_id, in_s in offsets]
    return tx.execute(statement, rows).rowcount if rows else 0


_NO_DATE = {
    "redrive_at": null(),
    "redrive_by": null(),
    "redrive_key": null(),
    "redrive_why": null(),
}


def unschedule(tx: Connection, meant: DeadLetterFilter, actor: str) -> list[LetterId]:
    """Unschedule letters whose redrive is still to come. Returns (id, job_id, tenant_id) of each."""
    guards = [*meant.guards(), d.state == OPEN, d.redrive_at.is_not(None), *own(d.tenant_id, actor)]
    return list(
        tx.execute(
            update(dead_letters)
            .where(*guards)
            .values(_NO_DATE)
            .returning(d.id, d.job_id, d.tenant_id)
        )
    )


def unschedule_one(tx: Connection, letter_id: str) -> bool:
    """The same of one letter."""
    statement = update(dead_letters).where(
        d.id == letter_id, d.state == OPEN, d.redrive_at.is_not(None)
    )
    return tx.execute(statement.values(_NO_DATE)).rowcount == 1


_SCHEDULED = (d.state == OPEN, d.redrive_at.is_not(None))
_LIMIT = bindparam("p_limit", type_=Integer)
_DUE = (
    select(d.id, d.job_id, d.redrive_by, d.redrive_key, d.redrive_why)
    .where(*_SCHEDULED, d.redrive_at <= now())
    .order_by(d.redrive_at)
    .limit(_LIMIT)
)
_OVERDUE = (
    select(d.redrive_at, now().label("now"))
    .where(*_SCHEDULED, d.redrive_at < ago(bindparam("p_grace_s", type_=Float)))
    .order_by(d.redrive_at)
    .limit(literal_column("1", Integer))
)


def due(connection: Connection, limit: int) -> list[DueLetterRow]:
    """(id, job_id, redrive_by, redrive_key, redrive_why) of letters whose time has come."""
    return list(connection.execute(_DUE, {"p_limit": limit}))


def postpone(tx: Connection, letter_id: str, seconds: float) -> bool:
    """Look at this scheduled letter again in so many seconds."""
    statement = update(dead_letters).where(
        d.id == letter_id, d.state == OPEN, d.redrive_at.is_not(None)
    )
    return tx.execute(statement.values(redrive_at=after(seconds))).rowcount == 1


def redrive_lag_s(connection: Connection, grace_s: float) -> float:
    """For how long the earliest scheduled letter has waited beyond `grace_s`; 0 when none has."""
    row = connection.execute(_OVERDUE, {"p_grace_s": grace_s}).one_or_none()
    return 0.0 if row is None else max(0.0, float((row.now - row.redrive_at).total_seconds()))


def delay_all(tx: Connection, seconds: float) -> int:
    """Everything scheduled comes so much later: the relay was away, and what piled up must not
    leave at once.
    """
    times = tx.execute(
        select(d.id, d.redrive_at, now().label("now")).where(
            d.state == OPEN, d.redrive_at.is_not(None)
        )
    ).all()
    statement = (
        update(dead_letters)
        .where(d.id == bindparam("p_id"), d.state == OPEN, d.redrive_at.is_not(None))
        .values(redrive_at=after(bindparam("p_in_s", type_=Float)))
    )
    rows = [
        {"p_id": row.id, "p_in_s": (row.redrive_at - row.now).total_seconds() + seconds}
        for row in times
    ]
    return tx.execute(statement, rows).rowcount if rows else 0


# --- their end ------------------------------------------------------------------------------------
def close(tx: Connection, letter_id: str, *, resolution: str, actor: str, why: str) -> bool:
    """open -> closed. False: somebody else closed it."""
    statement = update(dead_letters).where(
        d.id == letter_id, d.state == OPEN, *own(d.tenant_id, actor)
    )
    values = {"resolution": resolution, "resolved_by": actor, "resolved_why": why}
    return (
        tx.execute(statement.values(state=LetterState.CLOSED, closed_at=now(), **values)).rowcount
        == 1
    )


def close_of_job(tx: Connection, job_id: str, *, retried_as: str, actor: str, why: str) -> int:
    """open -> closed for all letters of a job that is resubmitted. Returns how many."""
    statement = update(dead_letters).where(
        d.job_id == job_id, d.state == OPEN, *own(d.tenant_id, actor)
    )
    values = {
        "resolution": Resolution.REDRIVEN,
        "resolved_by": actor,
        "resolved_why": why,
        "retried_as": retried_as,
    }
    return tx.execute(
        statement.values(state=LetterState.CLOSED, closed_at=now(), **values)
    ).rowcount


# --- for the broker's lane ------------------------------------------------------------------------
def to_mirror(connection: Connection, limit: int) -> list[MirroredLetterRow]:
    """(id, job_id, saga, step, item, kind, why) of open letters, oldest first."""
    query = (
        select(d.id, d.job_id, d.saga, d.step, d.item, d.kind, d.why)
        .where(d.state == OPEN)
        .order_by(d.id)
        .limit(limit)
    )
    return list(connection.execute(query))
