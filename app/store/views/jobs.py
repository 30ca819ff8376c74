"""A job as the HTTP contract shows it, alone and in lists."""

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
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
)

from surefoot.app.clock import UtcDateTime
from surefoot.app.errors import NotFound
from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.states import Dir, JobState, Kind, OpState
from surefoot.app.rules.waits import BUSY
from surefoot.app.saga.graph import Node
from surefoot.app.secrecy import scrub_json
from surefoot.app.store.hidden import secrets_of
from surefoot.app.store.ids import is_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import Id, job_tags, jobs, operations, tenants
from surefoot.app.store.views import dead_letters
from surefoot.app.store.views.counts import Count, counted
from surefoot.app.store.views.effects import Effect, effects_of, is_left_over
from surefoot.app.store.views.names import job_links, short_name, stamp
from surefoot.app.store.views.reruns import Rerun, reruns_of
from surefoot.app.store.views.snapshot import (
    Operation,
    Snapshot,
    Standing,
    job_rows,
    load,
    load_many,
)
from surefoot.app.trace import trace_id

Position = tuple[datetime, str]  # (created_at, id) of the last job shown
PAGE_ROWS = 50
PAGE_ROWS_MOST = 200
SCAN_ROWS = 5_000  # a filtered page looks at no more jobs than this, then says where to go on
QUEUE_ROWS = 1_000  # a position beyond this is told as this
SHOWN_STATES = tuple(JobState)
LEFT_OVER = {
    "undone": False,
    "undone_partly": True,
}  # what `failed` is told as: whether something is left of it
STORED_AS = {
    JobState.PENDING: JobState.RUNNING,
    JobState.WAITING: JobState.RUNNING,
}  # what is derived when a job is read

# What an operation's state is called outside. `dropped` and `abandoned` are the engine's words.
STEP_WORDS = {OpState.DROPPED: "not_started", OpState.ABANDONED: "stopped"}


def job_view(db: Engine, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """One job. Raises: NotFound, also for another tenant's and for what cannot be an id."""
    with reading(db) as connection:
        return whole_job(connection, job_id, tenant_id)


def job_with_letters(
    db: Engine, job_id: str, tenant_id: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same, and its open dead letters as `letter_view` shows them, newest first. Raises: NotFound."""
    with reading(db) as connection:
        return _with_letters(connection, job_id, tenant_id)


def whole_job(connection: Connection, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """The view of one job, within a read. Raises: NotFound."""
    return _with_letters(connection, job_id, tenant_id)[0]


def _with_letters(
    connection: Connection, job_id: str, tenant_id: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    snapshot = load(connection, job_id, tenant_id)
    given_up = (
        dead_letters.letters_of_job(connection, snapshot.job.id)
        if _may_have_letters(snapshot)
        else []
    )
    ids = [snapshot.job.id]
    again = reruns_of(connection, ids).get(snapshot.job.id) if snapshot.ended else None
    view = brief(snapshot, effects_of(connection, ids)[snapshot.job.id], again)
    return view | {
        "steps": [_step(snapshot, node) for node in snapshot.graph.nodes],
        "result": _result(connection, snapshot)
        if snapshot.job.state == JobState.COMPLETED
        else None,
        "queue": _queue(connection, snapshot),
        "dead_letters": [dead_letters.in_job(letter) for letter in given_up],
    }, given_up


def _may_have_letters(snapshot: Standing) -> bool:
    """An operation that is given up turns its job, or holds it: any other job need not be asked."""
    return snapshot.job.direction == Dir.BACK or snapshot.job.state == JobState.ATTENTION


def brief(snapshot: Standing, effects: Sequence[Effect], again: Rerun | None) -> dict[str, Any]:
    """What a list shows of a job: all but steps, result and place in the queue. `again`: the job that runs it again."""
    job = snapshot.job
    links = job_links(job.id)
    return {
        "id": job.id,
        "name": short_name(job.saga, job.id),
        "summary": job.summary,
        "saga": job.saga,
        "version": job.version,
        "state": str(snapshot.state),
        "outcome": outcome(snapshot, effects),
        "left_over": [e.step for e in effects if e.left_over],
        "reason": job.reason,
        "resubmission_of": job.retry_of,
        "resubmitted_as": again.job_id if again else None,
        "actions": actions(snapshot, again),
        "trace_id": trace_id(job.traceparent) if job.traceparent else None,
        "progress": _progress(snapshot),
        "error": job.error,
        "trouble": job.trouble,
        "attention": _attention(snapshot),
        "tags": job.tags,
        "created_at": stamp(job.created_at),
        "started_at": stamp(snapshot.started_at),
        "finished_at": stamp(job.finished_at),
        "links": links if snapshot.can_be_cancelled else links | {"cancel": None},
    }


def actions(snapshot: Standing, again: Rerun | None) -> list[str]:
    """What can be done with the job as it stands: `cancel` until the point of no return, `redrive` in attention,
    `resubmit` an ended job while no resubmission is open or completed.
    """
    if snapshot.can_be_cancelled:
        return ["cancel"]
    if snapshot.job.state == JobState.ATTENTION:
        return ["redrive"]
    return ["resubmit"] if snapshot.ended and not (again and again.stands) else []


def _attention(snapshot: Standing) -> dict[str, Any] | None:
    """Since when a person is asked, and who has taken it on."""
    job = snapshot.job
    if job.state != JobState.ATTENTION:
        return None
    return {
        "since": stamp(job.attention_since),
        "owner": job.owner,
        "owned_at": stamp(job.owned_at),
    }


def outcome(snapshot: Standing, effects: Sequence[Effect]) -> str:
    """done | undone | undone_partly | open."""
    if snapshot.job.state == JobState.COMPLETED:
        return "done"
    if not snapshot.ended:
        return "open"
    return "undone_partly" if any(e.left_over for e in effects) else "undone"


def _step(snapshot: Snapshot, node: Node) -> dict[str, Any]:
    op = snapshot.get(node.name)
    return {
        "name": node.name,
        "title": snapshot.words.title(node.name),
        "state": _word(op),
        "attempts": op.attempts if op else 0,
        "lane": node.lane,
        "started_at": stamp(op.started_at) if op else None,
        "finished_at": stamp(op.finished_at) if op else None,
        "error": op.error if op else None,
        "compensation": _compensation(snapshot, node),
        "items": None,
    }


def _compensation(snapshot: Snapshot, node: Node) -> dict[str, Any] | None:
    if node.compensation is None:
        return None
    op = snapshot.get(node.name, Kind.UNDO)
    return {
        "state": "not_needed" if op is None else _undo_word(op),
        "attempts": op.attempts if op else 0,
        "fidelity": node.compensation.fidelity,
        "note": node.compensation.note,
    }


def _word(op: Operation | None) -> str:
    """Its state in the caller's words. What is queued behind another step of its chain is not in line for a worker yet."""
    if op is None:
        return "not_started"
    if op.state == OpState.QUEUED and not op.in_line:
        return str(OpState.PENDING)
    return STEP_WORDS.get(OpState(op.state), op.state)


def _undo_word(op: Operation) -> str:
    if op.resolution == Resolution.WAIVED:
        return str(Resolution.WAIVED)
    return "not_needed" if op.state == OpState.SKIPPED else _word(op)


def _progress(snapshot: Standing) -> dict[str, Any]:
    """How far it is in its direction, 0 to 1, and what is going on in a few words."""
    back = snapshot.job.direction == Dir.BACK
    ops = snapshot.undos if back else snapshot.actions
    finished = sum(op.done for op in ops)
    running = [op for op in ops if op.state == OpState.RUNNING]
    share = finished + sum(
        min(max(float((op.progress or {}).get("fraction") or 0.0), 0.0), 1.0) for op in running
    )
    done = snapshot.ended or not ops
    words = next(
        (
            f"{op.step}: {op.progress['message']}"
            for op in running
            if op.progress and op.progress.get("message")
        ),
        "",
    )
    what = "undone" if back else "done"
    return {
        "fraction": 1.0 if done else round(share / len(ops), 3),
        "message": words or f"{finished} of {len(ops)} steps {what}",
    }


def _result(connection: Connection, snapshot: Snapshot) -> Any:
    """The result of the last step; when there are several last ones, each by its step's name."""
    last = [node.name for node in snapshot.graph.nodes if not snapshot.graph.followers[node.name]]
    o = operations.c
    query = select(o.step, o.result).where(
        o.job_id == snapshot.job.id, o.kind == Kind.ACTION, o.item == "", o.step.in_(last)
    )
    results = {row.step: row.result for row in connection.execute(query)}
    result = results.get(last[0]) if len(last) == 1 else {step: results.get(step) for step in last}
    return scrub_json(result, secrets_of(connection, snapshot.job.id, snapshot.job.digest))


def _queue(connection: Connection, snapshot: Snapshot) -> dict[str, Any] | None:
    """Its place among what is ready in the same lane, while nobody has taken anything of it; at most QUEUE_ROWS."""
    waiting = [op for op in snapshot.actions if op.in_line and op.ready_at is not None]
    if snapshot.state != JobState.PENDING or not waiting:
        return None
    first = min(waiting, key=lambda op: (op.ready_at, op.id))
    o = operations.c
    ahead = (
        select(literal_column("1"))
        .where(
            o.state == literal_column("'queued'"),
            o.pending_dependencies == literal_column("0"),
            o.lane == first.lane,
            o.kind != Kind.UNDO,
        )
        .where(o.ready_at < first.ready_at)
        .limit(QUEUE_ROWS)
        .subquery()
    )
    return {
        "position": connection.execute(select(func.count()).select_from(ahead)).scalar_one() + 1,
        "eta_seconds": None,
    }


# --- lists -----------------------------------------------------------------------------------------------------
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
    Returns: (rows, where the next page begins, or None at the end). A filtered page that found little in SCAN_ROWS jobs
    is short and still says where to go on, so that no filter makes a request walk over everything there ever was. A filter
    over everybody's jobs costs a page of each tenant.
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
    """The same over all tenants: each one's page by its index, put together. What filters has an index of each tenant only."""
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
    """Jobs newest first, from a position on, along one index: of everybody, of a tenant, or of a tenant's tag, state or saga.

    Without a tenant, and then without a filter, by id alone: ids grow with time, and the primary key serves it.
    """

    def __init__(self, tenant_id: str | None, after: Position | None, **along: Any) -> None:
        """`along`: at most one of `tag`, `state` (as stored, never completed) and `saga`."""
        self._tenant_id, self._after, self._tag = tenant_id, after, along.get("tag")
        self._guards: tuple[ColumnElement[bool], ...] = ()
        self._order: tuple[ColumnElement[Any], ...] = ()
        if "saga" in along:
            self._guards, self._order = (jobs.c.saga == along["saga"],), (jobs.c.saga.desc(),)
        if "state" in along:
            # spelled out: neither database can prove that a bound parameter is not 'completed', which the index leaves out
            state = jobs.c.state == literal_column(f"'{JobState(along['state'])}'")
            self._guards, self._order = (
                (state, jobs.c.state != literal_column("'completed'")),
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
    """The index to walk, and what has still to be asked of each job on the way. A tag finds fewest, then a state, then a saga."""
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
            o.state == "running",
            and_(o.state == "queued", o.pending_dependencies == 0),
            and_(o.state == OpState.WAITING, o.wait_reason.in_(BUSY)),
        )
    )
    parked = and_(some(o.state == OpState.WAITING), not_(busy))
    if state == JobState.WAITING:
        return and_(running, some(o.started), parked)
    if state == JobState.RUNNING:
        return and_(running, some(o.started), not_(parked))
    return jobs.c.state == state
