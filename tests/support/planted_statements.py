"""Guards taken out of SQL on its way to the database, each while a context lasts: a test must find every one.

The simulation plants its mistakes in the engine (`tests.support.planted`). Here they are in the statements themselves, where most of
what keeps two processes apart stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Engine, event


class Change(NamedTuple):
    """In every statement that says `where`, `said` becomes `planted`."""

    said: str
    planted: str
    where: str


COMPLETION = "WITH job AS ("
RIDDEN = "ridden AS ("
SUBMISSION = "WITH key AS ("
CLAIM = "UPDATE surefoot_operations SET state='running', fence="

# mistake -> what is planted
PLANTED: dict[str, Change] = {
    # --- the completion of an action that PostgreSQL runs
    "a completion does not ask for its token": Change(
        "o.token = %(token)s::VARCHAR", "true", COMPLETION
    ),
    "a completion does not ask whether its operation runs": Change(
        "AND o.state || '' = 'running'", "", COMPLETION
    ),
    "a completion does not ask whether its job runs": Change(
        "AND state || '' = 'running' FOR", "FOR", COMPLETION
    ),
    "a completion does not ask whether its job has turned": Change(
        "AND direction = 'forward' AND state || '' = 'running'", "", COMPLETION
    ),
    "a completion does not lock its job": Change("FOR NO KEY UPDATE", "", COMPLETION),
    "a completion settles nothing": Change("unknown_outcomes = 0,", "", COMPLETION),
    "a completion keeps its lease": Change("lease_until = NULL,", "", COMPLETION),
    "a completion leaves no line": Change(
        "FROM done, noted UNION ALL", "FROM done, noted WHERE false UNION ALL", COMPLETION
    ),
    "a completion never ends its job": Change(
        "CASE WHEN %(ends)s THEN 'completed' ELSE j.state END", "j.state", COMPLETION
    ),
    "a completion releases a follower too early": Change(
        "ready_at = CASE WHEN f.pending_dependencies = 1",
        "ready_at = CASE WHEN f.pending_dependencies > 0",
        COMPLETION,
    ),
    "a completion claims a follower that still waits": Change(
        "f.pending_dependencies = 1 AND f.id IS NOT DISTINCT FROM",
        "f.id IS NOT DISTINCT FROM",
        COMPLETION,
    ),
    "what a completion releases has no date": Change(
        "CASE WHEN f.pending_dependencies = 1 THEN clock_timestamp() + make_interval(secs => f.queue_s) ELSE f.claim_deadline_at END",
        "f.claim_deadline_at",
        COMPLETION,
    ),
    "what a completion carries counts as not sent": Change(
        "THEN statement_timestamp() END", "THEN NULL END", COMPLETION
    ),
    "a claim by a completion is not counted": Change(
        "f.attempts + 1, true", "f.attempts, true", COMPLETION
    ),
    "a claim by a completion has had no effect for sure": Change(
        "f.unknown_outcomes + CAST(f.effectful AS INT)", "f.unknown_outcomes", COMPLETION
    ),
    "a claim by a completion has no lease": Change(
        "clock_timestamp() + make_interval(secs => %(lease_s)s)", "NULL", COMPLETION
    ),
    "a ride takes what somebody else has": Change(
        "AND r.state || '' = 'queued' AND NOT r.stop_requested AND r.attempts = 0", "", RIDDEN
    ),
    "a ride takes what was tried before": Change("AND r.attempts = 0", "", RIDDEN),
    # --- a new job
    "a key that has a job makes another": Change(
        "OR EXISTS (SELECT 1 FROM key)", "OR true", SUBMISSION
    ),
    # --- claims and timers
    "a claim does not ask whether it is ready": Change(
        "AND surefoot_operations.pending_dependencies = 0", "", CLAIM
    ),
    "a claim takes what runs": Change(
        "AND surefoot_operations.lease_until < statement_timestamp()", "", CLAIM
    ),
    "a turn does not lock the claim of the pivot": Change(
        "FOR NO KEY UPDATE", "", "AND surefoot_operations.irrevocable AND"
    ),
    "a move does not lock its job": Change(
        "FOR NO KEY UPDATE",
        "",
        "SELECT surefoot_jobs.id, surefoot_jobs.tenant_id, surefoot_jobs.digest",
    ),
    "a claim takes a job of another version": Change(
        "(SELECT surefoot_jobs.digest FROM surefoot_jobs WHERE surefoot_jobs.id = surefoot_operations.job_id) = %(p_digest)s::VARCHAR",
        "true",
        CLAIM,
    ),
    "a heartbeat renews what another worker has": Change(
        "surefoot_operations.worker_id = %(p_worker_id)s::VARCHAR AND",
        "",
        "UPDATE surefoot_operations SET lease_until=(clock",
    ),
    "a killed child takes its successor along": Change(
        "AND surefoot_operations.pid = %(p_pid)s::INTEGER",
        "",
        "WHERE surefoot_operations.message_id =",
    ),
    "a worker without the definition parks what runs": Change(
        "AND (surefoot_operations.state || '') = 'queued'",
        "",
        "UPDATE surefoot_operations SET state=%(state)s::VARCHAR, due_at=",
    ),
    "nobody came, although somebody has": Change(
        "AND (surefoot_operations.state || '') = 'queued'",
        "",
        "AND surefoot_operations.claim_deadline_at < statement_timestamp() RETURNING",
    ),
    "nobody came, before its time is over": Change(
        "AND surefoot_operations.claim_deadline_at < statement_timestamp()",
        "",
        "AND surefoot_operations.claim_deadline_at < statement_timestamp() RETURNING",
    ),
    "a relay ends a claim that was renewed": Change(
        "AND surefoot_operations.lease_until < statement_timestamp() RETURNING",
        "RETURNING",
        "UPDATE surefoot_operations SET",
    ),
    "timers wait for a row that somebody holds": Change(
        "SKIP LOCKED", "", "surefoot_operations.due_at <="
    ),
}


@contextmanager
def planted(mistake: str) -> Iterator[None]:
    """The statements with this mistake in them. Raises: AssertionError when none of them was sent."""
    said, instead, where = PLANTED[mistake]
    changed = 0

    def change(
        connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        nonlocal changed
        sql = " ".join(sql.split())
        if where in sql and said in sql:
            changed += 1
            sql = sql.replace(said, instead)
        return sql, parameters

    event.listen(Engine, "before_cursor_execute", change, retval=True)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", change)
    assert changed, f"no statement of {where!r} says {said!r}: nothing was planted"
