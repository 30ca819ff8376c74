"""Every UPDATE of a job, an operation or a dead letter changes states as `rules.transitions` says, and in no other way.

Each is run against rows in every state, in a transaction that is rolled back, and what it changed is compared with the table.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, update

from surefoot.app.rules.machines import JOB, LETTER, MACHINES, OPERATION
from surefoot.app.rules.states import Dir, JobState, LetterState, OpState
from surefoot.app.rules.transitions import TRANSITIONS
from surefoot.app.rules.waits import WaitReason
from surefoot.app.store import (
    attempt_writes,
    dead_letters,
    job_writes,
    locks,
    message_writes,
    operation_writes,
    postgres_fast_path,
    reconciliations,
)
from surefoot.app.store import tables as t
from surefoot.app.store.claims import ClaimRequest
from surefoot.app.store.ids import new_id
from surefoot.app.store.tables.base import PREFIX
from tests.support.stores import open_new_store

STORE = Path(__file__).parents[3] / "app" / "store"
PAST, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
TABLES = {JOB: t.jobs, OPERATION: t.operations, LETTER: t.dead_letters}
DIGEST = "d" * 16


@dataclass(frozen=True)
class Rows:
    """A job with an operation `first` that runs, the operation under test, and its dead letter."""

    job: str
    first: str
    operation: str
    letter: str
    pending_dependencies: int


def take(rows: Rows) -> ClaimRequest:
    return ClaimRequest(rows.operation, "worker_id", 1, rows.operation, 30.0, 60.0)


def complete(tx: Connection, rows: Rows, *, claims: bool = False, ends: bool = False) -> None:
    """On the fast path: what follows is released, or claimed too (also where it runs apart), or the job ends."""
    if tx.dialect.name == "postgresql":
        apart = not rows.pending_dependencies
        then = ClaimRequest(rows.operation, "worker_id", 1, rows.first, 30.0, 60.0, apart=apart)
        postgres_fast_path.complete_forward(
            tx,
            rows.job,
            rows.first,
            "first",
            None,
            [rows.operation] if rows.pending_dependencies and not ends else [],
            [],
            then if claims else None,
            ends=ends,
        )


def end(tx: Connection, rows: Rows) -> None:
    for after in targets("attempt_writes.end_running_operation"):
        with tx.begin_nested() as inner:
            values = {"state": after, "due_at": PAST}
            yield_changed(
                tx, attempt_writes.end_running_operation(tx, rows.operation, "token", values)
            )
            inner.rollback()


def yield_changed(tx: Connection, changed: Any) -> None:
    """What a statement with values of its caller's changed is noted, for it is taken back."""
    if changed is not None:
        tx.info["changed"].add((OPERATION.name, tx.info["before"][changed.id], changed.state))


def decide(tx: Connection, rows: Rows) -> None:
    for after in targets("operation_writes.decide_failed_operation"):
        with tx.begin_nested() as inner:
            yield_changed(
                tx, operation_writes.decide_failed_operation(tx, rows.operation, {"state": after})
            )
            inner.rollback()


def targets(write: str) -> set[str]:
    return {str(row.after) for row in TRANSITIONS if write in row.write}


CLOSING = {"resolution": "waived", "actor": "a", "why": "b"}
# Every public function of the store that updates one of these tables.
CALLS: dict[str, Callable[[Connection, Rows], Any]] = {
    "job_writes.lock_job_noting": lambda tx, r: job_writes.lock_job_noting(tx, r.job),
    "attempt_writes.claim_operation": lambda tx, r: attempt_writes.claim_operation(tx, take(r)),
    "attempt_writes.claim_first_attempt": lambda tx, r: attempt_writes.claim_first_attempt(
        tx, take(r)
    ),
    "attempt_writes.claim_to_work": lambda tx, r: attempt_writes.claim_to_work(
        tx, take(r), of=(r.job, "subject", "action", ""), digest=DIGEST, before=[]
    ),
    "attempt_writes.finish_running_operation": lambda tx, r: (
        attempt_writes.finish_running_operation(tx, r.operation, "token", None)
    ),
    "attempt_writes.end_running_operation": end,
    "operation_writes.decide_failed_operation": decide,
    "operation_writes.note_nobody_came": lambda tx, r: operation_writes.note_nobody_came(
        tx, [r.operation]
    ),
    "operation_writes.fail_unclaimed": lambda tx, r: operation_writes.fail_unclaimed(
        tx, r.operation
    ),
    "attempt_writes.note_progress": lambda tx, r: attempt_writes.note_progress(
        tx, r.operation, "token", {}
    ),
    "attempt_writes.renew_leases": lambda tx, r: attempt_writes.renew_leases(
        tx, "worker_id", [r.operation], 1.0
    ),
    "operation_writes.lower_missing": lambda tx, r: (
        operation_writes.lower_missing(tx, [r.operation]) if r.pending_dependencies else None
    ),
    "operation_writes.queue_operations": lambda tx, r: operation_writes.queue_operations(
        tx, [r.operation], only=OpState.PENDING
    ),
    "message_writes.ride_along": lambda tx, r: message_writes.ride_along(tx, [r.operation]),
    "message_writes.mark_sent": lambda tx, r: message_writes.mark_sent(tx, [r.operation]),
    "message_writes.mark_unsent": lambda tx, r: message_writes.mark_unsent(tx, [r.operation]),
    "message_writes.mark_sent_again": lambda tx, r: message_writes.mark_sent_again(
        tx, [r.operation]
    ),
    "message_writes.forget_sent": lambda tx, r: message_writes.forget_sent(tx, LATER, 1000),
    "operation_writes.wake_due": lambda tx, r: operation_writes.wake_due(tx, 1000),
    "operation_writes.wait_for_version": lambda tx, r: operation_writes.wait_for_version(
        tx, r.operation, 1.0
    ),
    "operation_writes.drop_waiting_actions": lambda tx, r: operation_writes.drop_waiting_actions(
        tx, r.job
    ),
    "operation_writes.stop_running_actions": lambda tx, r: operation_writes.stop_running_actions(
        tx, r.job
    ),
    "operation_writes.skip_operation": lambda tx, r: operation_writes.skip_operation(
        tx,
        r.job,
        "subject",
        "",
        "action",  # type: ignore[arg-type]
    ),
    "dead_letters.close": lambda tx, r: dead_letters.close(tx, r.letter, **CLOSING),
    "dead_letters.close_of_job": lambda tx, r: dead_letters.close_of_job(
        tx, r.job, retried_as=r.job, actor="a", why="b"
    ),
    "dead_letters.schedule": lambda tx, r: dead_letters.schedule(
        tx, [(r.letter, 1.0)], actor="a", why="b"
    ),
    "dead_letters.unschedule": lambda tx, r: dead_letters.unschedule(
        tx, dead_letters.DeadLetterFilter(job_id=r.job), "a"
    ),
    "dead_letters.unschedule_one": lambda tx, r: dead_letters.unschedule_one(tx, r.letter),
    "dead_letters.postpone": lambda tx, r: dead_letters.postpone(tx, r.letter, 1.0),
    "dead_letters.delay_all": lambda tx, r: dead_letters.delay_all(tx, 1.0),
    "locks.wake_first": lambda tx, r: locks.wake_first(tx, [r.job]),
    "reconciliations.next_period": lambda tx, r: reconciliations.next_period(tx, r.job, 1.0),
    "reconciliations.put_forward": lambda tx, r: reconciliations.put_forward(tx, r.job),
}
FAST = "postgres_fast_path.complete_forward"
OF_THE_FAST_PATH: tuple[Callable[[Connection, Rows], Any], ...] = (
    complete,
    lambda tx, r: complete(tx, r, claims=True),
    lambda tx, r: complete(tx, r, ends=True),
)
# Its caller holds the job's lock and says what is written: held by the monitors of the simulation.
DECIDED_ABOVE = {"job_writes.change_job"}
# They have a transaction of their own, and write times alone.
OF_A_DRILL = {"fault_control.hurry", "fault_control.reach_limit"}


@pytest.fixture
def db(ready_url: str) -> Iterator[Engine]:
    engine = open_new_store(ready_url)
    yield engine
    engine.dispose()


def filled(tx: Connection) -> list[Rows]:
    """Rows in every state that the guards may ask about, each with a job of its own."""
    tenant = new_id()
    tx.execute(insert(t.tenants).values(id=tenant, name="t"))
    tx.execute(
        insert(t.definitions).values(
            digest=DIGEST, saga="s", version=1, graph={}, input_schema={}, registered_at=PAST
        )
    )
    jobs, operations, letters, lines, made = [], [], [], [], []
    guarded = ((0, False, PAST), (0, True, None), (1, False, None), (1, True, PAST))
    of_operations = product(((JobState.RUNNING, Dir.FORWARD),), OpState, guarded)
    of_jobs = product(
        [(state, Dir.FORWARD) for state in (JobState.ATTENTION, JobState.COMPLETED)]
        + [(state, Dir.BACK) for state in JOB.meaning if state != JobState.COMPLETED],
        (OpState.QUEUED,),
        guarded[1:3],
    )
    for (state, way), op_state, (missing, started, claim_deadline_at) in (*of_operations, *of_jobs):
        letter = LetterState.CLOSED if started else LetterState.OPEN
        one = Rows(new_id(), new_id(), new_id(), new_id(), missing)
        made.append(one)
        jobs.append({
            "id": one.job, "tenant_id": tenant, "saga": "s", "version": 1, "digest": DIGEST,
            "state": state, "direction": way, "input": {}, "tags": [], "created_by": "t",
            "created_at": PAST, "sla_at": PAST,
        })  # fmt: skip
        lines.append({"key": one.job, "place": 1, "job_id": one.job, "until": LATER})
        common = {
            "job_id": one.job, "kind": "action", "item": "", "rank": 1, "lane": "l", "queue_s": 1.0,
            "max_attempts": 9, "effectful": False, "irrevocable": False, "worker_id": "worker_id",
            "message_id": one.operation, "hard_deadline_at": LATER, "wait_reason": WaitReason.LOCK, "due_at": PAST,
        }  # fmt: skip
        operations.append(common | {
            "id": one.operation, "step": "subject", "state": op_state, "pending_dependencies": missing,
            "started": started, "attempts": int(started), "claim_deadline_at": claim_deadline_at, "token": "token",
            "lease_until": PAST,
        })  # fmt: skip
        operations.append(common | {
            "id": one.first, "step": "first", "state": OpState.RUNNING, "pending_dependencies": 0,
            "started": True, "attempts": 1, "claim_deadline_at": None, "token": "first",
            "lease_until": LATER,
        })  # fmt: skip
        letters.append({
            "id": one.letter, "job_id": one.job, "operation_id": one.operation, "saga": "s",
            "step": "subject", "kind": "action", "why": "exhausted", "attempts": 1,
            "blocking": True, "needs_person": True, "state": letter, "tenant_id": tenant,
        })  # fmt: skip
    tx.execute(insert(t.jobs), jobs)
    tx.execute(insert(t.operations), operations)
    tx.execute(insert(t.dead_letters), letters)
    tx.execute(insert(t.lock_waiters), lines)
    return made


def states(tx: Connection) -> dict[str, str]:
    return {
        row.id: row.state
        for table in TABLES.values()
        for row in tx.execute(select(table.c.id, table.c.state))
    }


def changed_by(tx: Connection, rows: list[Rows], *calls: Callable[[Connection, Rows], Any]) -> Any:
    """{(machine, before, after)} of what these calls change, each on the rows as they were."""
    before = tx.info["before"] = states(tx)
    of = {
        row.id: machine.name
        for machine, table in TABLES.items()
        for row in tx.execute(select(table.c.id))
    }
    found = tx.info["changed"] = set()
    for call in calls:
        with tx.begin_nested() as attempt:
            for one in rows:
                call(tx, one)
            after = states(tx)
            attempt.rollback()
        found |= {(of[id_], was, after[id_]) for id_, was in before.items() if was != after[id_]}
    return found


def in_table(write: str) -> set[tuple[str, str, str]]:
    return {
        (row.machine.name, str(row.before), str(row.after))
        for row in TRANSITIONS
        if write in row.write and row.before is not None
    }


@pytest.fixture
def tx(db: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back."""
    with db.connect() as connection:
        yield connection
        connection.rollback()


def test_given_rows_in_every_state_when_each_update_runs_then_it_changes_what_the_table_says(
    tx: Connection,
) -> None:
    rows = filled(tx)

    found = {write: changed_by(tx, rows, call) for write, call in CALLS.items()}
    if tx.dialect.name == "postgresql":
        found[FAST] = changed_by(tx, rows, *OF_THE_FAST_PATH)

    assert {write: pairs for write, pairs in found.items() if pairs != in_table(write)} == {}


def test_given_planted_update_when_it_runs_then_its_change_is_not_in_the_table(
    tx: Connection,
) -> None:
    def planted(tx: Connection, rows: Rows) -> None:
        o = t.operations.c
        again = update(t.operations).where(o.id == rows.operation, o.state != OpState.RUNNING)
        tx.execute(again.values(state=OpState.QUEUED))

    known = {(row.machine.name, str(row.before), str(row.after)) for row in TRANSITIONS}

    assert (OPERATION.name, "completed", "queued") in changed_by(tx, filled(tx), planted) - known


def names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def updates_one(node: ast.AST) -> bool:
    """Whether an UPDATE of one of these tables is built here."""
    tables = {machine.table for machine in MACHINES}
    known = {table.removeprefix(PREFIX) for table in tables}  # as our modules import them
    for one in ast.walk(node):
        match one:
            case ast.Call(func=ast.Name("update"), args=[ast.Name(table), *_]) if table in known:
                return True
            case ast.Constant(str(text)) if any(f"UPDATE {table}" in text for table in tables):
                return True
    return False


def sets_state(path: Path) -> bool:
    return any(
        isinstance(one, ast.keyword) and one.arg == "state"
        for one in ast.walk(ast.parse(path.read_text()))
    )


def writers(path: Path) -> set[str]:
    """The public functions of a module that update one of these tables, themselves or by what they name."""
    parts: dict[str, ast.AST] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            parts[node.name] = node
        elif isinstance(node, ast.Assign):
            parts |= {name: node for target in node.targets for name in names_in(target)}
    writing = {name for name, node in parts.items() if updates_one(node)}
    while more := {
        name for name, node in parts.items() if name not in writing and names_in(node) & writing
    }:
        writing |= more
    return {
        f"{path.stem}.{name}"
        for name in writing
        if isinstance(parts[name], ast.FunctionDef) and not name.startswith("_")
    }


def test_given_code_when_read_then_every_function_that_updates_a_state_is_run_here() -> None:
    found = {name for path in STORE.glob("*.py") for name in writers(path)}

    assert found == set(CALLS) | {FAST} | DECIDED_ABOVE | OF_A_DRILL
    assert not sets_state(STORE / "fault_control.py")


def test_given_code_outside_the_store_when_read_then_it_updates_none_of_these_tables() -> None:
    rooms = [STORE.parent / room for room in ("engine", "limits", "access", "delivery", "explain")]
    paths = [*STORE.rglob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]

    outside = [
        str(path)
        for path in paths
        if path.parent != STORE and "migrations" not in path.parts
        if updates_one(ast.parse(path.read_text()))
    ]

    assert not outside
