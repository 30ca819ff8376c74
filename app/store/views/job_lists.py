"""Lists of jobs, by pages and filters, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    literal,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
)

from surefoot.app.clock import UtcDateTime
from surefoot.app.errors import NotFound
from surefoot.app.rules.states import Dir, JobState, OpState
from surefoot.app.rules.waits import BUSY
from surefoot.app.store.ids import is_id
from surefoot.app.store.session import reading
from surefoot.app.store.statements import in_text
from surefoot.app.store.tables import Id, job_tags, jobs, operations, tenants
from surefoot.app.store.views.counts import Count, counted
from surefoot.app.store.views.effects import effects_of, is_left_over
from surefoot.app.store.views.jobs import brief
from surefoot.app.store.views.reruns import reruns_of
from surefoot.app.store.views.snapshot import (
    job_rows,
    load_many,
)

Position = tuple[datetime, str]  # (created_at, id) of the last job shown
PAGE_ROWS = 50
PAGE_ROWS_MOST = 200
SCAN_ROWS = 5_000  # a filtered page looks at no more jobs than this, then says where to go on
SHOWN_STATES = tuple(JobState)
LEFT_OVER = {
    "undone": False,
    "undone_partly": True,
}  # what `failed` is told as: whether something is left of it
STORED_AS = {
    JobState.PENDING: JobState.RUNNING,
    JobState.WAITING: JobState.RUNNING,
}  # what is derived when a job is read


# --- lists ----------------------------------------------------------------------------------------
def list_jobs(
    db: Engine,
    tenant_id: str | None,
    *,
    state: str | None = None,
    saga: str | None = None,
    tag: str | None = None,
    after: Position | None = None,
    limit: int = PAGE_ROWS,
) -> tuple[list[dict[str, Any]], Position | None]:
    """The tenant's jobs (None: everybody's), newest first, as `brief` shows them.

    Args: `state` one of SHOWN_STATES or of LEFT_OVER; `after` where the page before ended;
    `limit` at most 200.
    Returns: (rows, where the next page begins, or None at the end). A filtered page that found
    little in SCAN_ROWS jobs is short and still says where to go on, so that no filter makes a
    request walk over everything there ever was. A filter over everybody's jobs costs a page of each
    tenant.
    """
    limit = max(1, min(limit, PAGE_ROWS_MOST))
    filters = {"state": state, "saga": saga, "tag": tag}
    with reading(db) as connection:
        if tenant_id is None and any(value is not None for value in filters.values()):
            rows, edge = _rows_of_all(connection, after, limit, filters)
        else:
            rows, edge = _rows(connection, tenant_id, after, limit, filters)
        return briefs(connection, rows), edge


def count_jobs(
    db: Engine,
    tenant_id: str | None,
    *,
    state: str | None = None,
    saga: str | None = None,
    tag: str | None = None,
) -> Count | None:
    """How many `list_jobs` would show; None where only looking at each would tell."""
    walk, wanted = _walk(tenant_id, None, state=state, saga=saga, tag=tag)
    if wanted or (tenant_id is None and (state, saga, tag) != (None, None, None)):
        return None
    with reading(db) as connection:
        return counted(connection, walk.page(select(jobs.c.id)))


def position_of(db: Engine, job_id: str) -> Position:
    """Where this job stands in a list. Raises: NotFound."""
    with reading(db) as connection:
        created_at = (
            connection.scalar(select(jobs.c.created_at).where(jobs.c.id == job_id))
            if is_id(job_id)
            else None
        )
    if created_at is None:
        raise NotFound(f"there is no job {job_id}")
    return created_at, job_id


def briefs(connection: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """These rows of `job_rows` as `brief` shows them: a fixed number of statements."""
    shown = load_many(connection, rows)
    effects = effects_of(
        connection, [snapshot.job.id for snapshot in shown if snapshot.job.direction == Dir.BACK]
    )
    again = reruns_of(connection, [snapshot.job.id for snapshot in shown if snapshot.ended])
    return [
        brief(snapshot, effects.get(snapshot.job.id, []), again.get(snapshot.job.id))
        for snapshot in shown
    ]


def _rows(
    connection: Connection,
    tenant_id: str | None,
    after: Position | None,
    limit: int,
    filters: dict[str, str | None],
) -> tuple[list[Any], Position | None]:
    """Rows of `job_rows`, and where the next page begins."""
    walk, wanted = _walk(tenant_id, after, **filters)
    query = walk.page(job_rows())
    edge = None
    if wanted:
        edge = connection.execute(
            walk.page(select(jobs.c.created_at, jobs.c.id)).offset(SCAN_ROWS - 1).limit(1)
        ).one_or_none()
        query = query.where(*wanted)
        if edge is not None:
            query = query.where(walk.not_beyond((edge.created_at, edge.id)))
    rows = list(connection.execute(query.limit(limit + 1)))
    if len(rows) > limit:
        return rows[:limit], _position(rows[limit - 1])
    return rows, None if edge is None else (edge.created_at, edge.id)


def _rows_of_all(
    connection: Connection, after: Position | None, limit: int, filters: dict[str, str | None]
) -> tuple[list[Any], Position | None]:
    """The same over all tenants: each one's page by its index, put together.

    What filters has an index of each tenant only.
    """
    pages = [
        _rows(connection, tenant, after, limit, filters)
        for tenant in connection.scalars(select(tenants.c.id)).all()
    ]
    edge = max(
        (edge for _, edge in pages if edge is not None), default=None
    )  # what is older may lack another tenant's jobs
    found = sorted((row for rows, _ in pages for row in rows), key=_position, reverse=True)
    rows = [row for row in found if edge is None or _position(row) >= edge][:limit]
    return rows, _position(rows[-1]) if len(rows) == limit and len(found) > limit else edge


def _position(row: Any) -> Position:
    return row.created_at, row.id


class _Walk:
    """Jobs newest first, from a position on, along one index: of everybody, of a tenant, or of a
    tenant's tag, state or saga.

    Without a tenant, and then without a filter, by id alone: ids grow with time, and the primary
    key serves it.
    """

    def __init__(self, tenant_id: str | None, after: Position | None, **along: Any) -> None:
        """`along`: at most one of `tag`, `state` (as stored, never completed) and `saga`."""
        self._tenant_id, self._after, self._tag = tenant_id, after, along.get("tag")
        self._guards: tuple[ColumnElement[bool], ...] = ()
        self._order: tuple[ColumnElement[Any], ...] = ()
        if "saga" in along:
            self._guards, self._order = (jobs.c.saga == along["saga"],), (jobs.c.saga.desc(),)
        if "state" in along:
            # spelled out: neither database can prove that a bound parameter is not 'completed',
            # which the index leaves out
            state = jobs.c.state == in_text(JobState(along["state"]))
            self._guards, self._order = (
                (state, jobs.c.state != in_text(JobState.COMPLETED)),
                (jobs.c.state.desc(),),
            )

    def page(self, query: Select[Any]) -> Select[Any]:
        c, t = jobs.c, job_tags.c
        if self._tenant_id is None:
            query = query.order_by(c.id.desc())
        elif self._tag is not None:
            query = query.join(job_tags, t.job_id == c.id).where(
                t.tenant_id == self._tenant_id, t.tag == self._tag
            )
            query = query.order_by(
                t.tenant_id.desc(), t.tag.desc(), t.created_at.desc(), t.job_id.desc()
            )
        else:
            query = query.where(c.tenant_id == self._tenant_id, *self._guards)
            query = query.order_by(
                c.tenant_id.desc(), *self._order, c.created_at.desc(), c.id.desc()
            )
        return query if self._after is None else query.where(self._key() < self._value(self._after))

    def not_beyond(self, edge: Position) -> ColumnElement[bool]:
        return self._key() >= self._value(edge)

    def _key(self) -> ColumnElement[Any]:
        if self._tenant_id is None:
            return jobs.c.id
        return (
            tuple_(jobs.c.created_at, jobs.c.id)
            if self._tag is None
            else tuple_(job_tags.c.created_at, job_tags.c.job_id)
        )

    def _value(self, position: Position) -> ColumnElement[Any]:
        created_at, job_id = position
        return (
            literal(job_id, Id)
            if self._tenant_id is None
            else tuple_(literal(created_at, UtcDateTime()), literal(job_id, Id))
        )


def _walk(
    tenant_id: str | None,
    after: Position | None,
    *,
    state: str | None,
    saga: str | None,
    tag: str | None,
) -> tuple[_Walk, list[ColumnElement[bool]]]:
    """The index to walk, and what has still to be asked of each job on the way.

    A tag finds fewest, then a state, then a saga.
    """
    by_state: list[ColumnElement[bool]] = []
    left_over: list[ColumnElement[bool]] = []
    if state in LEFT_OVER:
        left_over = [is_left_over() if LEFT_OVER[state] else not_(is_left_over())]
        state = JobState.FAILED
    if state is not None:
        by_state = [_state_filter(JobState(state)), *left_over]
    by_saga = [jobs.c.saga == saga] if saga is not None else []
    if tag is not None:
        return _Walk(tenant_id, after, tag=tag), [*by_state, *by_saga]
    if state is not None and state != JobState.COMPLETED:
        stored = STORED_AS.get(JobState(state), JobState(state))
        derived = stored == JobState.RUNNING
        return _Walk(tenant_id, after, state=stored), [
            *(by_state if derived else left_over),
            *by_saga,
        ]
    if saga is not None:
        return _Walk(tenant_id, after, saga=saga), by_state
    return _Walk(tenant_id, after), by_state


def _state_filter(state: JobState) -> ColumnElement[bool]:
    """The same derivation as Snapshot.state, in SQL."""
    o = operations.c

    def some(*guards: ColumnElement[bool]) -> ColumnElement[bool]:
        return select(literal_column("1")).where(o.job_id == jobs.c.id, *guards).exists()

    running = jobs.c.state == JobState.RUNNING
    if state == JobState.PENDING:
        return and_(running, not_(some(o.started)))
    busy = some(
        or_(
            o.state == OpState.RUNNING,
            and_(o.state == OpState.QUEUED, o.pending_dependencies == 0),
            and_(o.state == OpState.WAITING, o.wait_reason.in_(BUSY)),
        )
    )
    parked = and_(some(o.state == OpState.WAITING), not_(busy))
    if state == JobState.WAITING:
        return and_(running, some(o.started), parked)
    if state == JobState.RUNNING:
        return and_(running, some(o.started), not_(parked))
    return jobs.c.state == state
