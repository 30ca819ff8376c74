"""What must hold at every instant, asked of the store itself.

Triggers see each single change, also one that the next statement hides again, and know which actor
makes it; what they object to is written in the same transaction, so it is gone if that rolls back.
The statements of `engine.invariants` are asked after every action, all in one. Conditions and
statements are SQLite's and PostgreSQL's alike, but for what `in_plpgsql` and `POSTGRESQL` put in
another place.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Protocol

from surefoot.app.rules.machines import JOB, MACHINES, OPERATION, Machine
from surefoot.app.rules.states import DONE
from surefoot.app.rules.transitions import changes_of, final
from surefoot.app.store.invariants import INVARIANTS, STATES
from surefoot.app.testkit.clock import VirtualClock

OBJECTIONS = "sim_objections"
OBJECTIONS_TABLE = f"CREATE TABLE {OBJECTIONS} (sentence TEXT NOT NULL, id TEXT NOT NULL)"
HISTORY = "a line of history was changed"
# while anything may fail nobody promises a bound: what is asked is only that there is a date at all
ANY_TIME_S = 1e8


def _in(states: tuple[str, ...]) -> str:
    return "(" + ",".join(f"'{state}'" for state in states) + ")"


def _no_transition(machine: Machine) -> tuple[str, tuple[str, str]]:
    """The monitor of a machine: a change of state that `rules.transitions` does not have."""
    known = ",".join(f"'{before}>{after}'" for before, after in sorted(changes_of(machine)))
    changed = f"NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({known})"
    return f"{machine.name}: the table of transitions has no such change", (
        machine.table,
        changed,
    )


# No step of a job has run while another has its lock
NOT_KEPT_OUT = "(NOT EXISTS (SELECT 1 FROM surefoot_locks) OR EXISTS (SELECT 1 FROM surefoot_locks WHERE job_id = NEW.job_id))"

# sentence -> (table, condition on OLD and NEW)
CHANGES: dict[str, tuple[str, str]] = {
    **dict(_no_transition(machine) for machine in MACHINES),
    "an ended job moved": (
        "surefoot_jobs",
        f"OLD.state IN {_in(final(JOB))} AND (NEW.state <> OLD.state OR NEW.direction <> OLD.direction)",
    ),
    "a job's revision or history went back": (
        "surefoot_jobs",
        "NEW.rev < OLD.rev OR NEW.seq < OLD.seq",
    ),
    "a job turned twice": (
        "surefoot_jobs",
        "OLD.direction = 'back' AND (NEW.direction <> 'back' OR NEW.cause IS NOT OLD.cause)",
    ),
    "an operation at rest moved": (
        "surefoot_operations",
        f"OLD.state IN {_in(final(OPERATION))} AND NEW.state <> OLD.state",
    ),
    "a fence, an attempt or a start was taken back": (
        "surefoot_operations",
        "NEW.fence < OLD.fence OR NEW.attempts < OLD.attempts OR NEW.started < OLD.started OR NEW.max_attempts < OLD.max_attempts",
    ),
    "a claim without a new fence": (
        "surefoot_operations",
        "NEW.state = 'running' AND NEW.token IS NOT OLD.token AND NEW.fence = OLD.fence",
    ),
    "an action was claimed after the turn": (
        "surefoot_operations",
        "NEW.kind = 'action' AND NEW.fence > OLD.fence AND (SELECT direction FROM surefoot_jobs WHERE id = NEW.job_id) = 'back'",
    ),
    "a claim of what is not ready": (
        "surefoot_operations",
        # one statement may take the last thing that it waits for, and claim it
        "NEW.fence > OLD.fence AND NOT (NEW.pending_dependencies = 0 AND NOT OLD.stop_requested AND (OLD.lease_until < sim_now()"
        " OR (OLD.state = 'queued' AND OLD.pending_dependencies = 0) OR (OLD.state = 'pending' AND OLD.pending_dependencies = 1)))",
    ),
    "the relay took a claim whose lease had not run out": (
        "surefoot_operations",
        "sim_role() = 'relay' AND OLD.state = 'running' AND NEW.state <> 'running' AND OLD.lease_until >= sim_now()",
    ),
    "an attempt was ended under another's fence": (
        "surefoot_operations",
        "sim_fence() IS NOT NULL AND OLD.state = 'running' AND NEW.state <> 'running' AND OLD.fence <> sim_fence()",
    ),
    # only a completion settles everything; one attempt vouches for itself alone
    "what may have happened was forgotten": (
        "surefoot_operations",
        f"NEW.unknown_outcomes < OLD.unknown_outcomes - 1 AND NEW.state NOT IN {_in(DONE)} AND NEW.resolution IS NULL AND {NOT_KEPT_OUT}"
        # who looked, and says so by trying again
        " AND NOT (OLD.state = 'failed' AND sim_role() = 'person')",
    ),
    "a completed operation lost its result": (
        "surefoot_operations",
        "OLD.state = 'completed' AND NEW.result IS NOT OLD.result",
    ),
}

# sentence -> statement that returns no row
MORE: dict[str, str] = {
    "nothing is undone that never started": """
        SELECT u.id FROM surefoot_operations u JOIN surefoot_operations a
          ON a.job_id = u.job_id AND a.step = u.step AND a.item = u.item AND a.kind = 'action'
        WHERE u.kind = 'undo' AND NOT a.started""",
    "history agrees with its job": """
        SELECT j.id FROM surefoot_jobs j
        WHERE j.seq <> (SELECT count(*) FROM surefoot_history h WHERE h.job_id = j.id)""",
    "what the store itself objected to": f"SELECT sentence || ': ' || id FROM {OBJECTIONS}",  # noqa: S608 - our own name
}


def install(connection: sqlite3.Connection) -> None:
    """Put the triggers into a store in memory.

    The connection knows sim_role(), sim_fence() and sim_now().
    """
    connection.execute(OBJECTIONS_TABLE)
    for number, (sentence, (table, condition)) in enumerate(CHANGES.items()):
        connection.execute(
            f"CREATE TRIGGER sim_watch_{number} AFTER UPDATE ON {table} WHEN {condition} BEGIN {_object(sentence, 'NEW.id')}; END"
        )
    for verb in ("UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER sim_history_{verb} BEFORE {verb} ON surefoot_history"
            f" WHEN sim_role() IS NOT NULL BEGIN {_object(HISTORY, 'OLD.job_id')}; END"
        )


def in_plpgsql() -> str:
    """The same triggers in PostgreSQL's words, a function for each table; they call the same three
    functions.
    """
    asked: dict[str, list[str]] = {}
    for sentence, (table, condition) in CHANGES.items():
        differs = re.sub(r"IS NOT (?=OLD\.)", "IS DISTINCT FROM ", condition)
        asked.setdefault(table, []).append(
            f"IF {differs} THEN {_object(sentence, 'NEW.id')}; END IF;"
        )
    made = [OBJECTIONS_TABLE]
    for table, parts in asked.items():
        made += [
            _function(table, f"{' '.join(parts)} RETURN NULL;"),
            _trigger(table, "AFTER UPDATE"),
        ]
    changed = f"IF sim_role() IS NOT NULL THEN {_object(HISTORY, 'OLD.job_id')}; END IF;"
    kept = f"{changed} IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW;"
    made += [
        _function("surefoot_history", kept),
        _trigger("surefoot_history", "BEFORE UPDATE OR DELETE"),
    ]
    return ";\n".join(made)


def _function(table: str, body: str) -> str:
    head = f"CREATE FUNCTION sim_watch_{table}() RETURNS trigger LANGUAGE plpgsql"
    return f"{head} AS $watch$ BEGIN {body} END $watch$"


def _trigger(table: str, when: str) -> str:
    done = f"FOR EACH ROW EXECUTE FUNCTION sim_watch_{table}()"
    return f"CREATE TRIGGER sim_watch {when} ON {table} {done}"


def _object(sentence: str, id_: str) -> str:
    return f"INSERT INTO {OBJECTIONS} VALUES ({_quoted(sentence)}, CAST({id_} AS TEXT))"  # noqa: S608


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _all_in_one(form: str) -> str:
    """Every invariant as one statement of rows (sentence, id)."""
    parts = []
    for sentence, sql in {**INVARIANTS, **MORE}.items():
        for name, states in STATES.items():
            sql = sql.replace(name, states)
        parts.append(form.format(_quoted(sentence), sql))
    return " UNION ALL ".join(parts)


SQLITE = _all_in_one("SELECT {}, * FROM ({})")
POSTGRESQL = re.sub(
    r":(slack_ago|bound_ago)",
    r"CAST(%(\1)s AS TIMESTAMPTZ)",
    _all_in_one("SELECT {} AS sentence, CAST(found.id AS TEXT) FROM ({}) AS found(id)"),
)


class Watched(Protocol):
    """A store, as far as it is watched."""

    clock: VirtualClock
    asked_each: int  # after how many actions that wrote something it is asked

    def changes(self) -> int: ...

    def broken(self, slack_ago: str, bound_ago: str) -> list[tuple[str, str]]: ...


class Watch:
    """Asks a store again only when something was written since."""

    def __init__(self, store: Watched) -> None:
        self._store = store
        self._seen_changes, self._unasked = -1, 0
        self._broken: list[str] = []

    def broken(self, slack_s: float | None, bound_s: float | None) -> list[str]:
        """Sentences about what does not hold, each with the row's id.

        Without times nobody promises a bound: what is asked is only that there is a date at all.
        """
        changes = self._store.changes()
        if changes != self._seen_changes:
            self._unasked, self._seen_changes = self._unasked + 1, changes
        if self._unasked >= self._store.asked_each or slack_s is not None:
            found = self._store.broken(self._ago(slack_s), self._ago(bound_s))
            self._broken = [f"{sentence} ({row})" for sentence, row in found]
            self._unasked = 0
        return self._broken

    def _ago(self, seconds: float | None) -> str:
        return self._store.clock.text(-(ANY_TIME_S if seconds is None else seconds))
