"""Tables carry Surefoot's name, and columns the field's words; views of the old names serve old workers.

What was: `operations.missing`, `.unsettled`, `.boot`, tables named as a team may name its own.
During a deploy workers of the release before go on: each old name is a view over the renamed
table, and PostgreSQL writes through such a view as through the table (`FOR UPDATE`, `RETURNING`
and `ON CONFLICT` included). `surefoot db drop-old-names` ends them. SQLite cannot write through a
view; its one machine stops before it migrates.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import context, op

revision = "0020"
down_revision = "0019"

PREFIX = "surefoot_"
TABLES = (
    *("tenants", "api_keys", "sessions", "definitions", "edges", "jobs", "job_tags"),
    *("idempotency_keys", "operations", "history", "dead_letters", "inbox", "outbox", "locks"),
    *("lock_waiters", "reconciliations", "rounds", "leases", "workers", "quarantine", "acts"),
    "faults_fired",
)
ANOTHER_NAME = {"rounds": "periodic_runs"}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "jobs": {
        "dir": "direction",
        "cancel_wish": "cancel_requested",
        "late": "deadline_missed",
        "undo_by": "undo_deadline_at",
    },
    "operations": {
        "missing": "pending_dependencies",
        "queue_by": "claim_deadline_at",
        "resent": "republished",
        "boot": "worker_id",
        "delivery": "message_id",
        "allowance": "max_attempts",
        "no_return": "irrevocable",
        "unsettled": "unknown_outcomes",
        "stop": "stop_requested",
        "hard_at": "hard_deadline_at",
        "stall_at": "heartbeat_deadline_at",
        "wait": "wait_reason",
        "decided": "resolution",
    },
    "rounds": {"begun_at": "started_at", "position": "cursor"},
    "workers": {"boot": "worker_id"},
}
# an index that is named after a column whose name changes
INDEXES = {
    "ix_operations_queue_by": "ix_operations_claim_deadline",
    "ix_operations_boot": "ix_operations_worker",
    "ix_jobs_undo_by": "ix_jobs_undo_deadline",
}


EFFECTS_VIEW = """
CREATE VIEW surefoot_effects AS
SELECT a.id AS id, a.job_id AS job_id, a.step AS step, a.item AS item, a.rank AS rank, a.fidelity AS fidelity,
  CASE WHEN a.state = 'completed' THEN 'done' WHEN a.unknown_outcomes > 0 THEN 'unknown' ELSE 'none' END AS outcome,
  CASE WHEN u.id IS NULL THEN CASE
         WHEN j.direction = 'back' AND a.irrevocable
           AND (a.state = 'completed' OR a.unknown_outcomes > 0) THEN 'refused'
           ELSE 'not_needed' END
       WHEN u.resolution = 'waived' THEN 'waived'
       WHEN u.state = 'completed' THEN 'done'
       WHEN u.state = 'skipped' THEN 'not_needed'
       WHEN u.state = 'failed' THEN 'refused'
       ELSE 'pending' END AS undo_state,
  u.attempts AS undo_attempts, u.id AS undo_id
FROM surefoot_operations a
JOIN surefoot_jobs j ON j.id = a.job_id
LEFT JOIN surefoot_operations u ON u.job_id = a.job_id AND u.step = a.step AND u.item = a.item AND u.kind = 'undo'
WHERE a.kind = 'action' AND a.effectful
"""


def upgrade() -> None:
    shared = op.get_bind().dialect.name == "postgresql" and not context.config.attributes.get(
        "fresh"
    )
    columns = {table: _columns(table) for table in TABLES}
    if not shared:
        op.execute("DROP VIEW effects")  # the one that stays goes on over the renamed tables
    for table in TABLES:
        _rename(table, new_name(table), COLUMNS.get(table, {}))
    for old, better in INDEXES.items():
        _rename_index(old, better)
    op.execute(EFFECTS_VIEW)
    if shared:
        for table in TABLES:
            op.execute(view_of_old_names(table, columns[table]))


def downgrade() -> None:
    op.execute("DROP VIEW surefoot_effects")
    op.execute("DROP VIEW IF EXISTS effects")
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f'DROP VIEW IF EXISTS "{table}"')
    for old, better in INDEXES.items():
        _rename_index(better, old)
    for table in TABLES:
        back = {better: old for old, better in COLUMNS.get(table, {}).items()}
        _rename(new_name(table), table, back)
    op.execute(_in_old_words(EFFECTS_VIEW))


def _in_old_words(view: str) -> str:
    for words in (COLUMNS["jobs"], COLUMNS["operations"]):
        for old, better in words.items():
            view = view.replace(f".{better}", f".{old}")
    return view.replace(PREFIX, "")


def _columns(table: str) -> list[str]:
    return [found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)]


def _rename(old: str, new: str, columns: Mapping[str, str]) -> None:
    """A table, its columns, and the indexes that are named after a column."""
    op.rename_table(old, new)
    for was, better in columns.items():
        op.execute(f'ALTER TABLE "{new}" RENAME COLUMN "{was}" TO "{better}"')


def _rename_index(old: str, new: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f'ALTER INDEX "{old}" RENAME TO "{new}"')
        return
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = :name")
    sql = op.get_bind().execute(made, {"name": old}).scalar_one()
    op.execute(f'DROP INDEX "{old}"')
    op.execute(sql.replace(old, new, 1))


def new_name(table: str) -> str:
    """The name of a table from now on."""
    return PREFIX + ANOTHER_NAME.get(table, table)


def view_of_old_names(table: str, columns: list[str]) -> str:
    """What makes the view of the old names. `columns`: the old ones, in order."""
    now = COLUMNS.get(table, {})
    said = ", ".join(f'"{now.get(name, name)}" AS "{name}"' for name in columns)
    return f'CREATE VIEW "{table}" AS SELECT {said} FROM "{new_name(table)}"'  # noqa: S608
