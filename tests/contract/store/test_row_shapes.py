"""Each function of the store that returns a typed row says the truth about the columns it reads.

mypy believes what such a function says of its rows. So each is called here on a migrated store, and
the statement that it runs is compared with the shape that it promises: names of columns, their
Python types, and whether they may be null. The rows that come back are compared too.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import psycopg
import pytest
from sqlalchemy import JSON, Column, Connection, Engine, event, insert, select

from surefoot.app.clock import UtcDateTime
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import Kind, OpState
from surefoot.app.store import (
    acts,
    attempt_writes,
    catalogue,
    dead_letters,
    job_reads,
    job_writes,
    locks,
    message_reads,
    operation_reads,
    operation_writes,
    postgres_fast_path,
    reconciliations,
    statements,
    worker_register,
)
from surefoot.app.store import tables as t
from surefoot.app.store.acts import Asked
from surefoot.app.store.claims import ClaimRequest
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.ids import new_id, operation_id
from surefoot.app.store.message_reads import Queue, Turn
from surefoot.app.store.views import locks as lock_views
from surefoot.app.store.views import quarantine
from tests.support.stores import open_new_store

STORE = Path(__file__).parents[3] / "app" / "store"
ROWS = STORE / "rows"
PAST, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
DIGEST = "d" * 16
# Columns that may be null, and never are in the rows of these shapes: why
NEVER_NULL = {
    ("LeaseRow", "token"): "a running operation has one: a CHECK of its table",
    ("ClaimRow", "token"): "a claim writes it",
    ("ClaimedWorkRow", "token"): "a claim writes it",
    ("HeldClaimRow", "token"): "it runs",
    ("OverdueRow", "message_id"): "it is asked for by it",
    ("OverdueRow", "pid"): "a claim writes it",
    ("TurnRow", "ready_at"): "asked for in the statement",
    ("DueLetterRow", "redrive_by"): "written with `redrive_at`",
    ("DueLetterRow", "redrive_why"): "written with `redrive_at`",
}


LIKE = {float: (float, int)}  # as for mypy: SQLite's RETURNING gives 1 for 1.0


@dataclass(frozen=True)
class Rows:
    """What is in the store: a job that has some of everything, and another job."""

    tenant: str
    job: str
    other: str
    letter: str
    undated: str
    finding: str

    def op(self, step: str) -> str:
        return operation_id(self.job, step, "", Kind.ACTION)

    def taking(self, step: str, message: str | None = None) -> ClaimRequest:
        return ClaimRequest(self.op(step), "worker_id", 1, message or self.op(step), 30.0, 60.0)

    def turn(self) -> Turn:
        return Turn("l", "action", self.tenant)


def to_work(tx: Connection, r: Rows, *before: str) -> Any:
    return attempt_writes.claim_to_work(
        tx,
        r.taking("ready"),
        of=(r.job, "ready", "action", ""),
        digest=DIGEST,
        before=[r.op(step) for step in before],
    )


def new_rows(tx: Connection, r: Rows) -> Any:
    row = common(r) | {
        "id": r.op("new"),
        "step": "new",
        "state": OpState.QUEUED,
        "pending_dependencies": 0,
    }
    return operation_writes.insert_operations(tx, [row])


def fast(tx: Connection, r: Rows) -> Any:
    taking = r.taking("next", r.op("running"))
    done = postgres_fast_path.complete_forward(
        tx, r.job, r.op("running"), "t", None, [r.op("next")], (), taking, ends=False
    )
    return done[0] if done is not None else None


QUEUE = Queue("l", "action", PAST)
CLOSE = {"actor": "a", "why": "b"}
Call = Callable[[Connection, Rows], Any]
# Every function of the store that returns rows, called so that it returns some.
CALLS: dict[str, tuple[Call, ...]] = {
    "job_reads.standing_of": (lambda c, r: job_reads.standing_of(c, r.job, None),),
    "job_reads.lock_job": (lambda c, r: job_reads.lock_job(c, r.job),),
    "job_reads.job": (lambda c, r: job_reads.job(c, r.job),),
    "job_reads.standing_rerun": (lambda c, r: job_reads.standing_rerun(c, r.other),),
    "job_reads.open_jobs_of": (lambda c, r: job_reads.open_jobs_of(c, DIGEST, 9),),
    "job_reads.first_event": (
        lambda c, r: job_reads.first_event(c, r.job, HistoryEvent.SUBMITTED),
    ),
    "job_reads.history_after": (
        lambda c, r: job_reads.history_after(c, r.job, 0),
        lambda c, r: job_reads.history_after(c, r.job, 0, 1),
    ),
    "operation_reads.operation": tuple(
        lambda c, r, step=step: operation_reads.operation(c, r.op(step))  # type: ignore[misc]
        for step in ("running", "ready", "done", "parked")
    ),
    "operation_reads.operations_of": (
        lambda c, r: operation_reads.operations_of(c, r.job),
        lambda c, r: operation_reads.operations_of(c, r.job, Kind.ACTION),
    ),
    "operation_reads.lock_no_return": (lambda c, r: operation_reads.lock_no_return(c, r.job),),
    "dead_letters.blocking_letters": (lambda c, r: dead_letters.blocking_letters(c, r.job),),
    "dead_letters.open_letters": (lambda c, r: dead_letters.open_letters(c, r.job),),
    "dead_letters.open_letter_of": (lambda c, r: dead_letters.open_letter_of(c, r.op("failed")),),
    "dead_letters.letter": (lambda c, r: dead_letters.letter(c, r.letter),),
    "operation_reads.delivery": (lambda c, r: operation_reads.delivery(c, r.op("ready")),),
    "operation_reads.overdue": (
        lambda c, r: operation_reads.overdue(c, "worker_id", [r.op("running")]),
    ),
    "operation_reads.claimed_by": (
        lambda c, r: operation_reads.claimed_by(c, r.op("running"), "worker_id", 1),
    ),
    "operation_reads.held_by": (lambda c, r: operation_reads.held_by(c, "worker_id"),),
    "operation_reads.results_of": (lambda c, r: operation_reads.results_of(c, r.job, ["done"]),),
    "job_reads.idempotent": (lambda c, r: job_reads.idempotent(c, r.tenant, "key"),),
    "message_reads.unsent": (lambda c, r: message_reads.unsent(c, 1.0, 9),),
    "message_reads.unsent_of": (lambda c, r: message_reads.unsent_of(c, r.turn(), 1.0, 9),),
    "message_reads.turns_of": (lambda c, r: message_reads.turns_of(c, [r.op("ready")]),),
    "message_reads.to_ring": (lambda c, r: message_reads.to_ring(c, [r.op("ready")]),),
    "message_reads.sent_long_ago": (lambda c, r: message_reads.sent_long_ago(c, QUEUE, 1.0, 9),),
    "message_reads.sent_long_before": (
        lambda c, r: message_reads.sent_long_before(c, QUEUE, LATER, 1.0, 9),
    ),
    "operation_reads.expired": (lambda c, r: operation_reads.expired(c, 9),),
    "operation_reads.nobody_came": (lambda c, r: operation_reads.nobody_came(c, 9),),
    "operation_reads.stranded": (lambda c, r: operation_reads.stranded(c, 9),),
    "worker_register.live_workers": (lambda c, r: worker_register.live_workers(c.engine),),
    "job_writes.lock_job_noting": (lambda c, r: job_writes.lock_job_noting(c, r.job),),
    "operation_writes.insert_operations": (new_rows,),
    "attempt_writes.claim_operation": (
        lambda c, r: attempt_writes.claim_operation(c, r.taking("ready")),
    ),
    "attempt_writes.claim_first_attempt": (
        lambda c, r: attempt_writes.claim_first_attempt(c, r.taking("ready")),
    ),
    "attempt_writes.claim_to_work": (
        lambda c, r: to_work(c, r),
        lambda c, r: to_work(c, r, "done"),
        lambda c, r: to_work(c, r, "done", "failed"),
    ),
    "attempt_writes.finish_running_operation": (
        lambda c, r: attempt_writes.finish_running_operation(c, r.op("running"), "t", {"a": 1}),
    ),
    "attempt_writes.end_running_operation": (
        lambda c, r: attempt_writes.end_running_operation(
            c, r.op("running"), "t", {"state": "failed"}
        ),
    ),
    "operation_writes.fail_unclaimed": (
        lambda c, r: operation_writes.fail_unclaimed(c, r.op("ready")),
    ),
    "operation_writes.lower_missing": (
        lambda c, r: operation_writes.lower_missing(c, [r.op("next")]),
    ),
    "operation_writes.queue_operations": (
        lambda c, r: operation_writes.queue_operations(c, [r.op("stranded")], only=OpState.PENDING),
    ),
    "operation_writes.skip_operation": (
        lambda c, r: operation_writes.skip_operation(c, r.job, "next", "", Kind.ACTION),
    ),
    "operation_writes.decide_failed_operation": (
        lambda c, r: operation_writes.decide_failed_operation(
            c, r.op("failed"), {"resolution": "waived"}
        ),
    ),
    "dead_letters.page": (
        lambda c, r: dead_letters.page(c, DeadLetterFilter(), None, 9),
        lambda c, r: dead_letters.page(c, DeadLetterFilter(job_id=r.job), None, 9),
    ),
    "dead_letters._page_of_job": (
        lambda c, r: dead_letters.page(c, DeadLetterFilter(r.tenant, job_id=r.job), None, 9),
    ),
    "dead_letters.one": (lambda c, r: dead_letters.one(c, r.letter, None),),
    "dead_letters.unscheduled": (
        lambda c, r: dead_letters.unscheduled(c, DeadLetterFilter(why="exhausted"), 9),
    ),
    "dead_letters.unschedule": (lambda c, r: dead_letters.unschedule(c, DeadLetterFilter(), "a"),),
    "dead_letters.due": (lambda c, r: dead_letters.due(c, 9),),
    "dead_letters.to_mirror": (lambda c, r: dead_letters.to_mirror(c, 9),),
    "reconciliations.past_sla": (lambda c, r: reconciliations.past_sla(c, 9),),
    "reconciliations.page_of_jobs": (
        lambda c, r: reconciliations.page_of_jobs(c, statements.NO_ID, 9),
    ),
    "reconciliations.jobs_of": (lambda c, r: reconciliations.jobs_of(c, [r.job]),),
    "reconciliations.asked_about": (lambda c, r: reconciliations.asked_about(c, 9),),
    "reconciliations.open_of_jobs": (lambda c, r: reconciliations.open_of_jobs(c, [r.job]),),
    "reconciliations.of_lost_job": (lambda c, r: reconciliations.of_lost_job(c, r.job),),
    "reconciliations.every_open": (lambda c, r: list(reconciliations.every_open(c)),),
    "reconciliations.close": (lambda c, r: reconciliations.close(c, r.finding, **CLOSE),),
    "reconciliations.adopt": (
        lambda c, r: reconciliations.adopt(c, r.finding, detail={"a": 1}, **CLOSE),
    ),
    "reconciliations.say": (
        lambda c, r: reconciliations.say(c, r.finding, actor="a", action="undo", detail={}),
    ),
    "reconciliations.one": (lambda c, r: reconciliations.one(c, r.finding),),
    "reconciliations.page": (
        lambda c, r: reconciliations.page(c, None, only_open=True, after_id=None, limit=9),
    ),
    "locks.places_of": (lambda c, r: locks.places_of(c, r.job),),
    "locks.holder_of": (lambda c, r: locks.holder_of(c, ["held"]),),
    "locks.next_in_line": (lambda c, r: locks.next_in_line(c, r.other, ["free"], None),),
    "locks.before_the_mark": (
        lambda c, r: locks.before_the_mark(c, job_reads.lock_job(c, r.job), ["held"]),
    ),
    "locks.wake_first": (lambda c, r: locks.wake_first(c, ["free"]),),
    "catalogue.versions": (lambda c, r: catalogue.versions(c, "s"),),
    "acts.page": (lambda c, r: acts.page(c, Asked(), None, 9),),
    "views.quarantine.page": (
        lambda c, r: quarantine.page(c, None, discarded=False, after_id=None, limit=9),
    ),
    "views.locks._holders": (lambda c, r: lock_views._holders(c, ["held"]),),
    "views.locks._waiters": (lambda c, r: lock_views._waiters(c, ["free"]),),
    "views.locks._page": (lambda c, r: lock_views._page(c, None, (statements.NO_ID, 0), 9),),
    "postgres_fast_path.complete_forward": (fast,),
}
ON_POSTGRES_ALONE = "postgres_fast_path."


def common(r: Rows) -> dict[str, Any]:
    return {
        "job_id": r.job, "tenant_id": r.tenant, "kind": "action", "item": "", "rank": 1,
        "lane": "l", "queue_s": 1.0, "stall_s": 1.0, "max_attempts": 9, "effectful": True,
        "irrevocable": False, "fidelity": None, "started": False,
    }  # fmt: skip


def filled(tx: Connection) -> Rows:
    """One row of each table at least, and operations in every state that a function asks for."""
    r = Rows(*(new_id() for _ in range(6)))
    tx.execute(insert(t.tenants).values(id=r.tenant, name="t"))
    tx.execute(
        insert(t.definitions).values(
            digest=DIGEST, saga="s", version=1, graph={}, input_schema={}, registered_at=PAST
        )
    )
    for id_, more in (
        (r.other, {}),
        (r.job, {"retry_of": r.other, "traceparent": "00-1", "seq": 1}),
    ):
        tx.execute(insert(t.jobs).values(
            id=id_, tenant_id=r.tenant, saga="s", version=1, digest=DIGEST, state="running",
            direction="forward", input={"a": 1}, tags=["x"], created_by="t", created_at=PAST,
            sla_at=PAST, **more,
        ))  # fmt: skip
    gone: dict[str, Any] = {"attempts": 1, "started": True, "started_at": PAST}
    ops: dict[str, dict[str, Any]] = {
        "running": gone | {
            "state": "running", "token": "t", "worker_id": "worker_id", "pid": 1, "lease_until": PAST,
            "hard_deadline_at": LATER, "heartbeat_deadline_at": PAST, "unknown_outcomes": 1, "irrevocable": True,
            "message_id": r.op("running"), "progress": {"done": 1}, "checkpoint": {"at": 1},
        },
        "ready": {"state": "queued", "ready_at": PAST, "claim_deadline_at": PAST},
        "sent": {"state": "queued", "ready_at": PAST, "sent_at": PAST},
        "stranded": {"state": "pending"},
        "next": {"state": "pending", "pending_dependencies": 1},
        "done": gone | {"state": "completed", "result": {"b": 2}, "finished_at": PAST},
        "failed": gone | {"state": "failed", "error": {"type": "E"}, "finished_at": PAST},
        "parked": {"state": "waiting", "wait_reason": "lock", "due_at": LATER},
    }  # fmt: skip
    for step, columns in ops.items():
        tx.execute(
            insert(t.operations).values(
                common(r) | {"id": r.op(step), "step": step, "pending_dependencies": 0} | columns
            )
        )
    tx.execute(insert(t.history).values(job_id=r.job, seq=1, event="submitted", detail={"a": 1}))
    letter = {
        "job_id": r.job, "tenant_id": r.tenant, "saga": "s", "kind": "action", "why": "exhausted",
        "error": {"type": "E"}, "attempts": 1, "blocking": True, "needs_person": True,
    }  # fmt: skip
    dated = {"redrive_at": PAST, "redrive_by": "a", "redrive_why": "b"}
    tx.execute(insert(t.dead_letters).values(
        id=r.letter, operation_id=r.op("failed"), step="failed", **letter, **dated
    ))  # fmt: skip
    tx.execute(insert(t.dead_letters).values(
        id=r.undated, operation_id=r.op("done"), step="done", **letter
    ))  # fmt: skip
    tx.execute(insert(t.reconciliations).values(
        id=r.finding, tenant_id=r.tenant, job_id=r.job, saga="s", key=f"{r.job}:done", actor="a",
        finding="orphan", action="reported", detail={"there": {}},
    ))  # fmt: skip
    tx.execute(insert(t.idempotency_keys).values(
        tenant_id=r.tenant, key="key", fingerprint="f", job_id=r.job
    ))  # fmt: skip
    tx.execute(insert(t.locks).values(key="held", job_id=r.other))
    tx.execute(insert(t.lock_waiters).values(key="free", place=1, job_id=r.job, until=LATER))
    tx.execute(insert(t.workers).values(
        worker_id="worker_id", host="h", pid=1, concurrency=1, lanes=["l"], digests=[DIGEST], seen_at=LATER
    ))  # fmt: skip
    tx.execute(insert(t.acts).values(
        id=new_id(), tenant_id=r.tenant, actor="a", act="cancel", object_kind="job",
        object_id=r.job, details={"a": 1},
    ))  # fmt: skip
    tx.execute(insert(t.quarantine).values(
        id=new_id(), reason="r", queue="q", headers={"h": 1}, body="b"
    ))  # fmt: skip
    return r


# --- what a function promises ---------------------------------------------------------------------
def shapes_in(hint: Any) -> set[type]:
    """The shapes that a type names, inside of lists and unions too."""
    if inspect.isclass(hint) and hint.__module__.startswith("surefoot.app.store.rows."):
        return {hint}
    return {shape for part in get_args(hint) for shape in shapes_in(part)}


def promises() -> dict[str, type]:
    """function -> the shape of the rows that it returns, of every module of the store."""
    found = {}
    for path in STORE.rglob("*.py"):
        parts = path.relative_to(STORE).with_suffix("").parts
        if parts[0] in ("migrations", "rows") or parts[-1] == "__init__":
            continue
        module = import_module(".".join(("surefoot.app.store", *parts)))
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                shapes = shapes_in(
                    get_type_hints(function, localns={"psycopg": psycopg}).get("return")
                )
                if shapes:
                    (found[".".join((*parts, name))],) = shapes
    return found


def columns_of(shape: type) -> dict[str, tuple[type | None, bool]]:
    """column -> (Python type, None for JSON of any form; whether it may be null)."""
    found = {}
    for name, member in inspect.getmembers(shape, lambda one: isinstance(one, property)):
        hint = get_type_hints(member.fget)["return"]
        null = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
        if null:
            (hint,) = (one for one in get_args(hint) if one is not type(None))
        found[name] = (None if hint is Any else get_origin(hint) or hint, null)
    return found


# --- what a statement does ------------------------------------------------------------------------
def lies(shape: type, column: Any, promised: tuple[type | None, bool]) -> Iterator[str]:
    """What is wrong about one column of a statement."""
    type_, null = promised
    said = f"{shape.__name__}.{column.key}"
    is_json = isinstance(getattr(column.type, "impl", column.type), JSON)
    actual = datetime if isinstance(column.type, UtcDateTime) else column.type.python_type
    if not is_json and actual is not type_:
        yield f"{said} is {actual}, not {type_}"
    if is_json and type_ not in (None, dict, list):
        yield f"{said} is JSON, not {type_}"
    base = [one for one in column.base_columns if isinstance(one, Column)]
    if len(base) == 1 and column.key in (base[0].key, base[0].name) and type_ is not None:
        allowed = (shape.__name__, column.key) in NEVER_NULL
        if base[0].nullable != null and not allowed:
            yield f"{said} {'may' if base[0].nullable else 'may not'} be null"


def wrong_values(shape: type, row: Any) -> Iterator[str]:
    for name, (type_, null) in columns_of(shape).items():
        value = getattr(row, name)
        if value is None:
            if not null and type_ is not None:
                yield f"{shape.__name__}.{name} is null"
        elif type_ is not None and type(value) not in LIKE.get(type_, (type_,)):
            yield f"{shape.__name__}.{name} is {value!r}, not {type_}"


def as_list(found: Any) -> list[Any]:
    if isinstance(found, dict):
        return list(found.values())
    return found if isinstance(found, list) else [] if found is None else [found]


def told(tx: Connection, rows: Rows, shape: type, call: Call) -> set[str]:
    """What is wrong about the rows of one call, and the statement that they come from."""
    statements: list[Any] = []

    def note(_connection: Any, statement: Any, *_more: Any) -> None:
        if hasattr(statement, "exported_columns"):
            statements.append(statement.exported_columns)

    event.listen(tx.engine, "before_execute", note)
    try:
        with tx.begin_nested() as attempt:
            found = as_list(call(tx, rows))
            attempt.rollback()
    finally:
        event.remove(tx.engine, "before_execute", note)
    promised = columns_of(shape)
    wrong = {said for row in found for said in wrong_values(shape, row)}
    fitting = [columns for columns in statements if set(columns.keys()) == promised.keys()]
    for columns in fitting:
        for column in columns:
            wrong |= set(lies(shape, column, promised[column.key]))
    if not fitting:
        wrong |= {f"no statement has the columns of {shape.__name__}"}
    return wrong if found else wrong | {"no row came"}


@pytest.fixture
def tx(ready_url: str) -> Iterator[Connection]:
    """A filled store, in a transaction that is rolled back."""
    engine: Engine = open_new_store(ready_url)
    with engine.connect() as connection:
        connection.info["rows"] = filled(connection)
        connection.commit()
        yield connection
        connection.rollback()
    engine.dispose()


def test_given_filled_store_when_typed_rows_are_read_then_each_is_what_its_function_promises(
    tx: Connection,
) -> None:
    wrong = {}
    for name, shape in promises().items():
        if tx.dialect.name == "postgresql" or not name.startswith(ON_POSTGRES_ALONE):
            for call in CALLS[name]:
                if said := told(tx, tx.info["rows"], shape, call):
                    wrong[name] = said

    assert wrong == {}


def test_given_functions_that_return_typed_rows_when_listed_then_each_is_called_here() -> None:
    assert promises().keys() == CALLS.keys()


def test_given_every_shape_when_listed_then_some_function_returns_it_or_one_that_extends_it() -> (
    None
):
    rooms = [import_module(f"surefoot.app.store.rows.{path.stem}") for path in ROWS.glob("[a-z]*")]
    known = {one for room in rooms for one in vars(room).values() if shapes_in(one)}

    assert known == {base for shape in promises().values() for base in shape.__mro__} & known
    assert len(known) > 30


@pytest.mark.parametrize(
    ("shape", "call", "says"),
    [
        ("jobs.LockedJobRow", lambda c, r: job_reads.job(c, r.job), "no statement has"),
        ("operations.ClaimRow", lambda c, r: operation_reads.operation(c, r.op("done")), "is null"),
    ],
)
def test_given_function_that_promises_another_shape_when_called_then_it_is_found(
    tx: Connection, shape: str, call: Call, says: str
) -> None:
    module, name = shape.split(".")
    planted = getattr(import_module(f"surefoot.app.store.rows.{module}"), name)

    assert any(says in said for said in told(tx, tx.info["rows"], planted, call))


def test_given_nullable_column_promised_as_a_value_when_read_then_it_is_found(
    tx: Connection,
) -> None:
    class Planted:
        @property
        def token(self) -> str: ...
        @property
        def rank(self) -> str: ...

    def read(c: Connection, r: Rows) -> Any:
        o = t.operations.c
        return list(c.execute(select(o.token, o.rank).where(o.id == r.op("running"))))

    said = told(tx, tx.info["rows"], Planted, read)

    assert {"Planted.token may be null", "Planted.rank is <class 'int'>, not <class 'str'>"} <= said
