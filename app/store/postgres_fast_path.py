"""PostgreSQL only: what every job costs, as one statement each, which commits by itself.

A statement there and back costs a process more than what it says. These do what the moves of the
engine do in the common case, with the same guards and in the same lock order, and nothing at all in
any other case: then the move is made step by step, as it is on SQLite, where a statement is a
function call.

How a wide statement stays right at READ COMMITTED: it sees one snapshot, taken before it waited for
the job's lock. Rows that it *writes* are looked at again after the wait, as they are then, guards
included. So every guard stands on a row that is written or locked here, and nothing else is read.
Each part draws from the one before it, so nothing is written before the job is locked, and nothing
at all unless the attempt still holds its operation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Engine,
    Float,
    Integer,
    String,
    TextClause,
    bindparam,
    column,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.selectable import TextualSelect

from surefoot.app.store.actors import key_of
from surefoot.app.store.claims import ClaimRequest
from surefoot.app.store.host import host_of
from surefoot.app.store.rows.operations import LoweredRow
from surefoot.app.store.tables import Id, jobs, operations
from surefoot.app.store.types import Ids, Json


def serves(db: Engine) -> bool:
    """Whether this database takes wide statements. Where it does not, moves are made step by step."""
    return db.dialect.name == "postgresql"


def _statement(written: str) -> TextClause:
    """Without the line breaks: psycopg keeps the translation of a statement of at most 4,096
    characters, and makes a longer one anew.
    """
    return text(" ".join(written.split()))


# What a claim writes beside the state: column -> its value, where {o} is the operation's row.
_CLAIM = {
    "fence": "{o}.fence + 1",
    "token": "({o}.fence + 1) || :rider_token",
    "worker_id": ":worker_id",
    "pid": ":pid",
    "message_id": "CAST(:message_id AS UUID)",
    "attempts": "{o}.attempts + 1",
    "started": "true",
    "unknown_outcomes": "{o}.unknown_outcomes + CAST({o}.effectful AS INT)",
    "lease_until": "clock_timestamp() + make_interval(secs => :lease_s)",
    "hard_deadline_at": "clock_timestamp() + make_interval(secs => :hard_s)",
    "heartbeat_deadline_at": "clock_timestamp() + make_interval(secs => {o}.stall_s)",
    "started_at": "coalesce({o}.started_at, statement_timestamp())",
}


def _claimed(row: str) -> str:
    """The values of a claim of this row, in the order of its columns."""
    return ", ".join(value.format(o=row) for value in _CLAIM.values())


# `state || ''`: see `statements.STATE`. A condition that no index serves and that orders nothing
# (IS NOT DISTINCT FROM) leaves a row's own id as the only way to it: a plan made while tables were
# small would read all operations of a job, or all jobs, for each completion.
_TAKEN = (
    "f.pending_dependencies = 1 AND f.id IS NOT DISTINCT FROM :rider AND NOT f.stop_requested"
    " AND f.attempts < f.max_attempts"
)
_LOWER = """
WITH job AS (
  SELECT id FROM surefoot_jobs WHERE id = :job_id AND direction = 'forward' AND state || '' = 'running' FOR NO KEY UPDATE
), done AS (
  UPDATE surefoot_operations o
  SET state = 'completed', result = :result, unknown_outcomes = 0, stop_requested = false, lease_until = NULL, hard_deadline_at = NULL,
      heartbeat_deadline_at = NULL, finished_at = statement_timestamp(), error = NULL
  FROM job
  WHERE o.id = :operation_id AND o.job_id = job.id AND o.token = :token AND o.state || '' = 'running'
  RETURNING o.job_id, o.step, o.kind, o.item, o.attempts, o.fence
), noted AS (
  UPDATE surefoot_jobs j
  SET seq = j.seq + :lines, rev = j.rev + 1, state = CASE WHEN :ends THEN 'completed' ELSE j.state END,
      finished_at = CASE WHEN :ends THEN statement_timestamp() END
  FROM done WHERE j.id = :job_id
  RETURNING j.seq, extract(epoch FROM statement_timestamp() - j.created_at) AS age_s
), told AS (
  INSERT INTO surefoot_history (job_id, seq, event, step, kind, item, attempt, fence)
  SELECT done.job_id, noted.seq - :lines + 1, 'completed', done.step, done.kind, done.item, done.attempts, done.fence FROM done, noted
  UNION ALL
  SELECT done.job_id, noted.seq, 'job_completed', NULL, NULL, NULL, NULL, NULL FROM done, noted WHERE :ends
), lowered AS (
  UPDATE surefoot_operations f
  SET pending_dependencies = f.pending_dependencies - 1,
      state = CASE {runs_on} WHEN f.pending_dependencies = 1 THEN 'queued' ELSE f.state END,
      ready_at = CASE WHEN f.pending_dependencies = 1 THEN statement_timestamp() ELSE f.ready_at END,
      claim_deadline_at = CASE WHEN f.pending_dependencies = 1
        THEN clock_timestamp() + make_interval(secs => f.queue_s) ELSE f.claim_deadline_at END,
      sent_at = CASE WHEN f.pending_dependencies > 1
        THEN f.sent_at WHEN f.id = ANY(CAST(:carried AS UUID[])) THEN statement_timestamp() END
      {claim}
  FROM done
  WHERE {those} AND f.job_id IS NOT DISTINCT FROM done.job_id AND f.state || '' IN ('pending', 'queued')
  RETURNING f.id, f.step, f.rank, f.state, f.pending_dependencies, f.token, f.attempts, f.fence, f.unknown_outcomes
)"""
# What runs on is one of the followers.
_RUNS_ON = f"WHEN {_TAKEN} THEN 'running'"
_CLAIM_OF_FOLLOWER = f""",
      ({", ".join(_CLAIM)}) = (
        SELECT {_claimed("f")} WHERE {_TAKEN}
        UNION ALL
        SELECT {", ".join(f"f.{name}" for name in _CLAIM)} WHERE NOT ({_TAKEN}))"""
# Of a batch: the next one waits for nothing that is completed here, so it is none of them.
_RIDE = f""", ridden AS (
  UPDATE surefoot_operations r
  SET state = 'running', ({", ".join(_CLAIM)}) = ROW({_claimed("r")})
  FROM done
  WHERE r.id = :rider AND r.job_id IS NOT DISTINCT FROM done.job_id
    AND r.pending_dependencies = 0 AND r.state || '' = 'queued' AND NOT r.stop_requested
    AND r.attempts = 0
  RETURNING r.id, r.step, r.rank, r.state, r.pending_dependencies, r.token, r.attempts, r.fence, r.unknown_outcomes
)"""  # noqa: S608 - made of constants
_ANSWER = """
SELECT l.id, l.step, l.rank, l.state, l.pending_dependencies, l.token, l.attempts, l.fence,
  l.unknown_outcomes, (SELECT age_s FROM noted) AS age_s
FROM done LEFT JOIN {} l ON true"""
_LOWERED = (
    "id",
    "step",
    "rank",
    "state",
    "pending_dependencies",
    "token",
    "attempts",
    "fence",
    "unknown_outcomes",
)
# Most steps have one follower, and for an array PostgreSQL plans anew each time: it takes an
# unknown one for ten rows, and then the plan that it could keep looks dearer than planning.
_ONE, _SEVERAL = "f.id = :follower", "f.id = ANY(CAST(:followers AS UUID[]))"


def _complete(*, several: bool, ride: bool) -> TextualSelect:
    """The statement for one follower or none, or for `several`; with the claim of what rides apart,
    or without.
    """
    lowered = (
        _LOWER.replace("{those}", _SEVERAL if several else _ONE)
        .replace("{runs_on}", "" if ride else _RUNS_ON)
        .replace("{claim}", "" if ride else _CLAIM_OF_FOLLOWER)
    )
    answer = _ANSWER.format(
        "(SELECT * FROM lowered UNION ALL SELECT * FROM ridden)" if ride else "lowered"
    )
    typed = _statement(f"{lowered}{_RIDE if ride else ''} {answer}").bindparams(
        bindparam("job_id", type_=Id),
        bindparam("operation_id", type_=Id),
        bindparam("token", type_=String),
        bindparam("result", type_=Json),
        bindparam("lines", type_=Integer),
        bindparam("ends", type_=Boolean),
        bindparam("followers", type_=Ids()) if several else bindparam("follower", type_=Id),
        bindparam("carried", type_=Ids()),
        bindparam("rider", type_=Id),
        bindparam("rider_token", type_=String),
        bindparam("worker_id", type_=String),
        bindparam("pid", type_=Integer),
        bindparam("message_id", type_=Id),
        bindparam("lease_s", type_=Float),
        bindparam("hard_s", type_=Float),
    )
    return typed.columns(
        *(column(name, operations.c[name].type) for name in _LOWERED), column("age_s", Float)
    )


_COMPLETE = {
    (several, ride): _complete(several=several, ride=ride)
    for several in (False, True)
    for ride in (False, True)
}
_NOBODY = {
    "rider": None,
    "worker_id": "",
    "pid": 0,
    "message_id": None,
    "lease_s": 0.0,
    "hard_s": 0.0,
}


def complete_forward(
    tx: Connection,
    job_id: str,
    of: str,
    token: str,
    result: Any,
    followers: Sequence[str],
    carried: Collection[str],
    taking: ClaimRequest | None,
    *,
    ends: bool,
) -> tuple[list[LoweredRow], float] | None:
    """Complete an action of a job that runs forward, release what follows it, claim what runs on,
    and note it all.

    `of`: the operation; `followers`: ids of those that wait directly for it; `ends`: nothing
    follows it and nothing is beside it, so its completion is the job's. Returns the lowered
    followers and what was claimed, with the age of the job in seconds; or None: nothing was done,
    for whatever reason.
    """
    if taking is None:
        rider = _NOBODY
    else:
        rider = {
            "rider": taking.operation_id,
            "worker_id": taking.worker_id,
            "pid": taking.pid,
            "message_id": taking.message_id,
            "lease_s": taking.lease_s,
            "hard_s": taking.hard_s,
        }
    values = {
        "job_id": job_id,
        "operation_id": of,
        "token": token,
        "result": result,
        "lines": 1 + ends,
        "ends": ends,
        "carried": carried,
        "rider_token": "." + host_of(tx).new_token(),
    }
    several = len(followers) > 1
    those = (
        {"followers": followers} if several else {"follower": followers[0] if followers else None}
    )
    rows = list(
        tx.execute(_COMPLETE[several, taking is not None and taking.apart], values | rider | those)
    )
    return ([row for row in rows if row.id is not None], float(rows[0].age_s)) if rows else None


# --- a new job ------------------------------------------------------------------------------------
@lru_cache(maxsize=16)
def _submit(job: tuple[str, ...], operation: tuple[str, ...]) -> TextualSelect:
    """The statement for these columns of a job and of its operations."""
    kinds = {c.name: c.type.compile(postgresql.dialect()) for c in operations.c}  # type: ignore[no-untyped-call]
    shape = ", ".join(f"{name} {kinds[name]}" for name in operation)
    statement = f"""
WITH key AS (
  INSERT INTO surefoot_idempotency_keys (tenant_id, key, fingerprint, job_id) SELECT :tenant_id,
    :key, :fingerprint, :id WHERE :key IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING job_id
), job AS (
  INSERT INTO surefoot_jobs ({", ".join(job)}, state, direction, cancel_requested,
    deadline_missed, created_at, deadline_at, sla_at, seq, rev)
  SELECT {", ".join(":" + name for name in job)}, 'running', 'forward', false, false, statement_timestamp(),
    clock_timestamp() + make_interval(secs => :deadline_s), clock_timestamp() + make_interval(secs => :sla_s), 1, 1
  WHERE :key IS NULL OR EXISTS (SELECT 1 FROM key)
  RETURNING id
), filed AS (
  INSERT INTO surefoot_job_tags (tenant_id, tag, created_at, job_id)
  SELECT :tenant_id, tag, statement_timestamp(), job.id FROM job, (SELECT DISTINCT jsonb_array_elements_text(:tags) AS tag) given
), made AS (
  INSERT INTO surefoot_operations (job_id, {", ".join(operation)}, ready_at, claim_deadline_at,
    republished, fence, attempts, unknown_outcomes, stop_requested)
  SELECT job.id, {", ".join("x." + name for name in operation)}, CASE WHEN x.pending_dependencies = 0 THEN statement_timestamp() END,
    CASE WHEN x.pending_dependencies = 0 THEN clock_timestamp() + make_interval(secs => x.queue_s) END, 0, 0, 0, 0, false
  FROM job, jsonb_to_recordset(:operations) AS x({shape})
), told AS (
  INSERT INTO surefoot_history (job_id, seq, event, actor, key_id) SELECT job.id, 1, 'submitted', :created_by, :key_id FROM job
)
SELECT id FROM job
"""  # noqa: S608 - made of names of columns
    typed = [bindparam(name, type_=jobs.c[name].type) for name in job]
    made = _statement(statement).bindparams(
        *typed,
        bindparam("key", type_=String),
        bindparam("key_id", type_=Id),
        bindparam("fingerprint", type_=String),
        bindparam("deadline_s", type_=Float),
        bindparam("sla_s", type_=Float),
        bindparam("operations", type_=Json),
    )
    return made.columns(column("id", Id))


def insert_job(
    tx: Connection,
    job: dict[str, Any],
    operation_rows: Sequence[dict[str, Any]],
    *,
    key: str | None,
    fingerprint: str,
    deadline_s: float | None,
    sla_s: float,
) -> bool:
    """A job with its operations, its idempotency key and its first line of history.

    False: the key has another job.
    """
    rows = [
        {name: value for name, value in row.items() if name != "job_id"} for row in operation_rows
    ]
    statement = _submit(tuple(job), tuple(rows[0]))
    named = {"key_id": key_of(job["created_by"])}
    values = (
        job
        | named
        | {
            "key": key,
            "fingerprint": fingerprint,
            "deadline_s": deadline_s,
            "sla_s": sla_s,
            "operations": rows,
        }
    )
    return tx.execute(statement, values).first() is not None
