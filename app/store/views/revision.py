"""Whether a job still looks as it did, without looking at it: one statement, and a tag.

The tag holds all that can change a job's view. Every move raises `jobs.rev`. What writes operation
rows alone leaves other traces: a claim raises a fence; parking and waking change who is waiting;
progress is the row's own text. The place in the queue, which other jobs change, is counted while
the view shows one. What has ended does not change, so nothing more is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Connection, Engine, Integer, String, TextClause, bindparam, text

from surefoot.app.clock import UtcDateTime
from surefoot.app.errors import NotFound
from surefoot.app.rules.states import ENDED
from surefoot.app.store.ids import is_id
from surefoot.app.store.session import asking, dialect_is_sqlite, reading
from surefoot.app.store.tables import Id
from surefoot.app.store.views.jobs import QUEUE_ROWS, whole_job
from surefoot.app.store.views.names import stamp

NO_SUCH_JOB = "There is no such job, or it is not yours."
SHAPE = "5"  # bump it when a job's view changes its shape, so that cached ETags stop matching
_ENDED = ", ".join(f"'{state}'" for state in ENDED)

# Two things are said so that no index but the job's own can be used for them (`statements.STATE`):
# the state of its operation, its tenant.
_QUERY = f"""
SELECT j.state AS state, j.created_at AS created_at, j.rev AS rev, sum(o.fence) AS fences, {{joined}} AS moving,
  EXISTS (SELECT 1 FROM surefoot_api_keys k WHERE k.id = {{key}} AND k.revoked_at IS NULL) AS key_is_good,
  CASE WHEN j.state = 'running' AND coalesce(sum(o.fence), 0) = 0 THEN (
    SELECT count(*) FROM (
      SELECT 1 FROM surefoot_operations q,
        (SELECT f.lane AS lane, f.ready_at AS ready_at FROM surefoot_operations f
         WHERE f.job_id = {{job}} AND f.kind = 'action' AND f.state || '' = 'queued' AND f.pending_dependencies = 0
         ORDER BY f.ready_at, f.id LIMIT 1) first
      WHERE q.state = 'queued' AND q.pending_dependencies = 0 AND q.lane = first.lane AND q.kind <> 'undo' AND q.ready_at < first.ready_at
      LIMIT {QUEUE_ROWS}) ahead) END AS ahead
FROM surefoot_jobs j LEFT JOIN surefoot_operations o ON o.job_id = j.id AND j.state NOT IN ({_ENDED})
WHERE j.id = {{job}} AND ({{anybody}} OR (j.tenant_id = {{tenant}}) IS TRUE)
GROUP BY j.id
"""  # noqa: S608 - made of constants
_MOVING = """CASE WHEN o.state = 'waiting' OR (o.state = 'running' AND o.progress IS NOT NULL)
  THEN o.step || ':' || o.kind || ':' || o.item || ':' || o.state || ':' || coalesce(CAST(o.progress AS TEXT), '') END"""
_JOINED_SQLITE, _JOINED = (
    f"group_concat({_MOVING}, '|')",
    f"string_agg({_MOVING}, '|' ORDER BY o.rank, o.item)",
)


def _prepared(joined: str) -> TextClause:
    query = text(
        _QUERY.format(
            joined=joined, job=":job_id", key=":key_id", tenant=":tenant_id", anybody=":anybody"
        )
    ).bindparams(
        bindparam("job_id", type_=Id),
        bindparam("key_id", type_=Id),
        bindparam("tenant_id", type_=Id),
        bindparam("anybody", type_=Boolean),
    )
    return query.columns(
        state=String,
        created_at=UtcDateTime,
        rev=Integer,
        fences=Integer,
        moving=String,
        ahead=Integer,
    )  # type: ignore[return-value]


_SQLITE = _prepared(_JOINED_SQLITE)
_POSTGRESQL = _prepared(_JOINED)

# In the driver's own words, for `polls`: of one job, and of as many as a JSON array names. Its
# function is taken for a hundred rows whatever it holds, so the plan is made once and kept; of an
# array PostgreSQL would make a new one each time.
OF_ONE = _QUERY.format(
    joined=_JOINED,
    job="%(job)s::uuid",
    key="%(key)s::uuid",
    tenant="%(tenant)s::uuid",
    anybody="(%(tenant)s::uuid IS NULL)",
)
_EACH = _QUERY.format(
    joined=_JOINED,
    job="asked.job",
    key="asked.key",
    tenant="asked.tenant",
    anybody="(asked.tenant IS NULL)",
)
OF_MANY = f"""
SELECT asked.place, r.state, r.created_at, r.rev, r.fences, r.moving, r.key_is_good, r.ahead
FROM jsonb_to_recordset(%s::jsonb) AS asked(place int, job uuid, key uuid, tenant uuid), LATERAL ({_EACH}) r
"""  # noqa: S608 - made of constants


@dataclass(frozen=True)
class Revision:
    """`tag`: another one whenever the view is another.

    `key_is_good`: whether the key that was named is there and not revoked.
    """

    tag: str
    state: str
    created_at: str
    key_is_good: bool

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def job_revision(
    db: Engine, job_id: str, tenant_id: str | None, key_id: str | None = None
) -> Revision:
    """A job's revision, in one statement. Raises: NotFound, as `job_view`."""
    with asking(db) as connection:
        return _read(connection, job_id, tenant_id, key_id)


def job_with_revision(
    db: Engine, job_id: str, tenant_id: str | None
) -> tuple[dict[str, Any], Revision]:
    """The same view as `job_view`'s, and the revision of that very view. Raises: NotFound."""
    with reading(db) as connection:
        revision = _read(connection, job_id, tenant_id, None)
        return whole_job(connection, job_id, tenant_id), revision


def _read(
    connection: Connection, job_id: str, tenant_id: str | None, key_id: str | None
) -> Revision:
    query = _SQLITE if dialect_is_sqlite(connection) else _POSTGRESQL
    named = {
        "job_id": job_id,
        "key_id": key_id,
        "tenant_id": tenant_id,
        "anybody": tenant_id is None,
    }
    row = connection.execute(query, named).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound(NO_SUCH_JOB)
    return made_of(
        row.state, row.created_at, row.rev, row.fences, row.moving, row.key_is_good, row.ahead
    )


def made_of(
    state: str,
    created_at: datetime,
    rev: int,
    fences: int | None,
    moving: str | None,
    key_is_good: object,
    ahead: int | None,
) -> Revision:
    """The columns of the statement's row, in their order."""
    facts = (SHAPE, rev, fences, moving, ahead)
    tag = hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    return Revision(tag, state, stamp(created_at) or "", bool(key_is_good))
