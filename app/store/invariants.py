"""What must always be so, as SQL: each statement returns no row.

Every engine test ends by asking them.

Parsed by PostgreSQL and SQLite alike. `:slack` seconds = a lease and a sweep; `:bound` seconds =
how long a message may be under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Float, bindparam, text

from surefoot.app.config import Settings
from surefoot.app.store.session import reading

STATES = {
    ":live": "('pending','queued','running','waiting')",
    ":done": "('completed','skipped')",
    ":ended": "('completed','failed','cancelled')",
}

INVARIANTS: dict[str, str] = {
    "a job that has not ended has a dated reason to move": """
        SELECT j.id FROM surefoot_jobs j WHERE j.state NOT IN :ended
          AND NOT EXISTS (SELECT 1 FROM surefoot_operations o WHERE o.job_id = j.id AND (
            (o.state = 'running' AND o.lease_until > :slack_ago) OR (o.state = 'waiting' AND o.due_at > :slack_ago)
            OR (o.state = 'queued' AND o.pending_dependencies = 0 AND coalesce(o.sent_at, o.ready_at) > :bound_ago)))
        AND NOT EXISTS (SELECT 1 FROM surefoot_dead_letters d WHERE d.job_id = j.id AND d.blocking AND d.state = 'open')""",
    "nothing waits for nothing": "SELECT id FROM surefoot_operations WHERE state = 'pending' AND pending_dependencies = 0",
    "after the turn nothing forward can start": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id
        WHERE j.direction = 'back' AND o.kind = 'action' AND o.state IN ('pending','queued','waiting')""",
    "what is confirmed is never undone": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id WHERE j.direction = 'back' AND o.kind = 'confirm'""",
    "what was not done is not confirmed": """
        SELECT c.id FROM surefoot_operations c JOIN surefoot_jobs j ON j.id = c.job_id
        JOIN surefoot_operations a ON a.job_id = c.job_id AND a.step = c.step AND a.item = c.item
        WHERE c.kind = 'confirm' AND a.kind = 'action' AND a.state <> 'completed'""",
    "no operation before its dependencies": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id
          JOIN surefoot_edges e ON e.digest = j.digest AND e.direct AND e.after = o.step
        JOIN surefoot_operations p ON p.job_id = j.id AND p.kind = 'action' AND p.step = e.before
        WHERE o.kind = 'action' AND o.started AND p.state NOT IN :done""",
    "the counter of missing dependencies agrees": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id
        WHERE j.direction = 'forward' AND o.kind = 'action' AND o.state IN :live
          AND o.pending_dependencies <> (SELECT count(*) FROM surefoot_edges e
            JOIN surefoot_operations p ON p.job_id = j.id AND p.kind = 'action' AND p.step = e.before
            WHERE e.digest = j.digest AND e.direct AND e.after = o.step AND p.state NOT IN :done)""",
    "no undo while its action runs": """
        SELECT u.id FROM surefoot_operations u JOIN surefoot_operations a ON a.job_id = u.job_id AND a.step = u.step AND a.item = u.item
        WHERE u.kind = 'undo' AND a.kind = 'action' AND u.started AND a.state IN :live""",
    "undone in reverse order": """
        SELECT u.id FROM surefoot_operations u JOIN surefoot_jobs j ON j.id = u.job_id
          JOIN surefoot_edges e ON e.digest = j.digest AND e.before = u.step
        JOIN surefoot_operations v ON v.job_id = j.id AND v.kind = 'undo' AND v.step = e.after
        WHERE u.kind = 'undo' AND u.started AND v.state NOT IN :done""",
    "ended jobs are at rest": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id WHERE j.state IN :ended AND o.state IN :live""",
    "ended jobs keep their promise": """
        SELECT e.id FROM surefoot_effects e JOIN surefoot_jobs j ON j.id = e.job_id
        WHERE (j.state IN ('failed','cancelled') AND e.undo_state IN ('pending','refused'))
            OR (j.state = 'completed' AND e.undo_state = 'done')""",
    "attention exactly when a person is asked": """
        SELECT j.id FROM surefoot_jobs j WHERE (j.state = 'attention') <> EXISTS (
            SELECT 1 FROM surefoot_dead_letters d WHERE d.job_id = j.id AND d.blocking AND d.state = 'open')""",
    "a person is asked about work that stands": """
        SELECT j.id FROM surefoot_jobs j WHERE j.state = 'attention' AND NOT EXISTS (
            SELECT 1 FROM surefoot_dead_letters d WHERE d.job_id = j.id AND d.blocking
              AND d.state = 'open' AND d.why NOT IN ('late','late_undo'))
        AND NOT EXISTS (SELECT 1 FROM surefoot_operations o WHERE o.job_id = j.id AND o.state IN :live)""",
    "a job ends once": """
        SELECT j.id FROM surefoot_jobs j WHERE j.state IN :ended AND (SELECT count(*) FROM surefoot_history h
            WHERE h.job_id = j.id AND h.event IN ('job_completed','job_failed','job_cancelled')) > 1""",
    "attempts are bounded": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id
        WHERE o.attempts > o.max_attempts OR o.unknown_outcomes > o.attempts OR o.unknown_outcomes < 0""",
    "what failed for good may have had its effect, and is tried again by a person only": """
        SELECT o.id FROM surefoot_operations o JOIN surefoot_jobs j ON j.id = o.job_id
          WHERE o.error->>'for_good' IS NOT NULL AND o.resolution IS NULL
        AND ((o.state IN ('failed','abandoned') AND o.kind = 'action' AND o.effectful AND o.unknown_outcomes = 0)
            OR (o.state IN :live AND NOT EXISTS (SELECT 1 FROM surefoot_dead_letters d WHERE d.operation_id = o.id)))""",
    "claims end": "SELECT id FROM surefoot_operations WHERE state = 'running' AND lease_until < :slack_ago",
    "locks end with their job": "SELECT l.key FROM surefoot_locks l JOIN surefoot_jobs j ON j.id = l.job_id WHERE j.state IN :ended",
    "a job that waits for a lock has not ended": """
        SELECT w.job_id FROM surefoot_lock_waiters w JOIN surefoot_jobs j ON j.id = w.job_id WHERE j.state IN :ended""",
    "a job that waits for a lock has a place in its queue": """
        SELECT o.id FROM surefoot_operations o WHERE o.state = 'waiting' AND o.wait_reason = 'lock' AND NOT EXISTS (
            SELECT 1 FROM surefoot_lock_waiters w WHERE w.job_id = o.job_id)""",
    "a job has at most one resubmission that is open or completed": """
        SELECT j.retry_of FROM surefoot_jobs j WHERE j.retry_of IS NOT NULL AND j.state NOT IN ('failed','cancelled')
        GROUP BY j.retry_of HAVING count(*) > 1""",
    "history has no gaps": """
        SELECT j.id FROM surefoot_jobs j JOIN surefoot_history h ON h.job_id = j.id
        GROUP BY j.id, j.seq HAVING count(*) <> j.seq OR max(h.seq) <> j.seq""",
}

_TIMES = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', (-:{name}) || ' seconds')",
    "postgresql": "(statement_timestamp() - make_interval(secs => :{name}))",
}


# how long an operation may lie queued before it counts as forgotten: the longest queue time-out by
# default
UNDER_WAY_S = 3600.0


@dataclass(frozen=True)
class Scope:
    """Which jobs to ask about, for a store with millions: the oldest that are open, those that wait
    for a person, the newest.

    What asks about operations alone is served by an index that finished rows have left, and is
    asked about all.
    """

    open_jobs: int = 2000
    asked_jobs: int = 1000
    newest_jobs: int = 1000

    def before(self, dialect: str) -> str:
        """A WITH that puts these jobs in the place of the table."""
        table = (
            "main.surefoot_jobs" if dialect == "sqlite" else "surefoot_jobs"
        )  # SQLite takes the bare name for the WITH itself
        return f"""WITH surefoot_jobs AS (SELECT id, digest, direction, state, seq, retry_of FROM {table} WHERE id IN (
            SELECT id FROM (SELECT id FROM {table} WHERE state IN ('running','compensating') ORDER BY id LIMIT {self.open_jobs}) a
            UNION SELECT job_id FROM (SELECT job_id FROM surefoot_dead_letters WHERE state = 'open' AND blocking LIMIT {self.asked_jobs}) b
            UNION SELECT id FROM (SELECT id FROM {table} ORDER BY id DESC LIMIT {self.newest_jobs}) c)) """  # noqa: S608 - numbers


def slack_s(settings: Settings) -> float:
    """How long a healthy relay may leave a lapsed lease or a due time: a lease, some sweeps, and a
    busy machine.
    """
    return settings.lease_seconds + 4 * settings.sweep_seconds + 5.0


def violations(
    db: Engine, *, slack_s: float, bound_s: float, scope: Scope | None = None
) -> dict[str, list[str]]:
    """Which invariants do not hold: the invariant's sentence -> the ids that break it.

    Empty when all is well.

    `scope` None asks about every job there ever was.
    """
    time = _TIMES[db.dialect.name]
    values: dict[str, Any] = {"p_slack": slack_s, "p_bound": bound_s}
    found: dict[str, list[str]] = {}
    with reading(db, name="invariants.violations") as connection:
        for sentence, sql in INVARIANTS.items():
            for name, states in STATES.items():
                sql = sql.replace(name, states)
            if scope is not None and " surefoot_jobs j" in sql:
                sql = scope.before(db.dialect.name) + sql
            filled = sql.replace(":slack_ago", time.format(name="p_slack")).replace(
                ":bound_ago", time.format(name="p_bound")
            )
            used = {name: value for name, value in values.items() if f":{name}" in filled}
            statement = text(
                filled.replace("%Y-%m-%d %H:%M:%f", "%Y-%m-%d %H\\:%M\\:%f")
            ).bindparams(*(bindparam(n, type_=Float) for n in used))
            rows = [str(row[0]) for row in connection.execute(statement, used)]
            if rows:
                found[sentence] = rows
    return found
