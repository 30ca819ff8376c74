"""Accepting a job: one transaction, and after it nothing loses the job.

The transaction holds the job, its operations (each the outbox of its own message), the idempotency
key and the first line of history. The answer is sent after the commit; whether the broker is there
does not matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app import metrics
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.transaction import forward_layout, message_of
from surefoot.app.errors import Conflict, InvalidInput, KeyReused, NotFound, UnknownSaga
from surefoot.app.metrics.counters import JOBS_SUBMITTED
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import Layout, Plan, to_plan
from surefoot.app.rules.states import Kind
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.inputs import validate_input
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.registry import Registry
from surefoot.app.saga.summary import summary_of
from surefoot.app.store import (
    definitions,
    job_reads,
    job_writes,
    operation_writes,
    postgres_fast_path,
)
from surefoot.app.store.actors import key_of
from surefoot.app.store.definitions import Definition
from surefoot.app.store.host import host_of
from surefoot.app.store.new_rows import new_operation
from surefoot.app.store.session import asking, execute_single, reading, transaction
from surefoot.app.texts import json_bytes

MAX_TAGS, MAX_TAG_CHARS, MAX_KEY_CHARS = 20, 64, 255


@dataclass(frozen=True)
class Submission:
    """A request for a job.

    `key`: idempotency key; `deadline_s`: seconds from now; `actor`: the requester, for the history.

    `traceparent`: what the steps' log lines and calls are to be found by, as
    `surefoot.app.trace.taken` gives it.
    """

    tenant_id: str
    saga: str
    input: Any
    actor: str
    key: str | None = None
    deadline_s: float | None = None
    tags: tuple[str, ...] = ()
    retry_of: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class Submitted:
    """`replayed`: the key was used before, for this job. `plan`: to ring after this."""

    job_id: str
    replayed: bool
    plan: Plan


Also = Callable[[Connection, str], None]
Admit = Callable[[Connection, str], None]


@dataclass(frozen=True)
class Conditions:
    """What the caller adds to the acceptance of a job.

    `admit`: whether the tenant may have one more; not asked where the key has its job already.
    `also`: what else belongs to the same transaction, given the job's id. When either raises,
    no job is written.
    """

    admit: Admit | None = None
    also: Also | None = None


UNCONDITIONALLY = Conditions()


def submit(
    db: Engine,
    settings: Settings,
    registry: Registry | None,
    submission: Submission,
    conditions: Conditions = UNCONDITIONALLY,
) -> Submitted:
    """Accept a job.

    Raises: UnknownSaga, InvalidInput, AboveLimit, KeyReused, StoreUnavailable, and what the
    `conditions` raise.
    """
    fingerprint = _fingerprint(submission, settings)
    with asking(db, name="submit.submit") as connection:
        found = _look_up(connection, registry, submission, fingerprint, conditions.admit)
    if isinstance(found, Submitted):
        return found
    value = _checked_input(registry, submission, found)
    job = _accepted(host_of(db).new_id(), submission, found, value, fingerprint)
    try:
        _insert(db, job, conditions.also)
    except _KeyTaken:
        with reading(db, name="submit.submit") as connection:
            answered = replayed(connection, submission.tenant_id, submission.key, fingerprint)
        if answered is None:
            raise NotFound("the job of this idempotency key is gone") from None
        return answered
    return job.submitted


def _insert(db: Engine, job: _Job, also: Also | None) -> None:
    """Write the job, by the fewest statements. Raises: _KeyTaken, and what `also` raises."""
    if postgres_fast_path.serves(db) and also is None:
        execute_single(db, job.insert_at_once, name="submit.insert")
    else:
        transaction(db, lambda tx: job.insert(tx, also), name="submit.insert")


def submit_in(
    tx: Connection,
    settings: Settings,
    registry: Registry | None,
    submission: Submission,
    admit: Admit | None = None,
) -> Submitted:
    """As `submit`, in the caller's transaction: statement by statement, and nothing is committed
    here.

    Raises: as `submit`; Conflict when another transaction has taken the key since, and this one
    cannot see its job. Whatever it raises, the caller rolls back to where this began.
    """
    fingerprint = _fingerprint(submission, settings)
    found = _look_up(tx, registry, submission, fingerprint, admit)
    if isinstance(found, Submitted):
        return found
    value = _checked_input(registry, submission, found)
    job = _accepted(host_of(tx).new_id(), submission, found, value, fingerprint)
    try:
        with tx.begin_nested():
            job.insert(tx, None)
    except _KeyTaken:
        answered = replayed(tx, submission.tenant_id, submission.key, fingerprint)
        if answered is None:
            raise Conflict(
                "another transaction has just used this idempotency key: begin a new one, and ask again"
            ) from None
        return answered
    return job.submitted


def _look_up(
    connection: Connection,
    registry: Registry | None,
    submission: Submission,
    fingerprint: str,
    admit: Admit | None,
) -> Submitted | Definition:
    """The answer that the key has already, or the definition of a new job. Raises: as `submit`."""
    answered = replayed(connection, submission.tenant_id, submission.key, fingerprint)
    if answered is not None:
        return answered
    own = registry.get(submission.saga) if registry is not None else None
    definition = definitions.current_definition(
        connection, submission.saga, own.digest if own is not None else ""
    )
    if definition is None:
        raise _unknown(submission.saga, definitions.saga_names(connection))
    if admit is not None:
        admit(connection, submission.tenant_id)
    return definition


def _checked_input(
    registry: Registry | None, submission: Submission, definition: Definition
) -> dict[str, Any]:
    saga = registry.by_digest(submission.saga, definition.digest) if registry is not None else None
    return validate_input(
        definition.input_schema, saga.input_model if saga is not None else None, submission.input
    )


def _unknown(saga: str, names: list[str]) -> UnknownSaga:
    if saga in names:
        return UnknownSaga(f"every version of saga {saga!r} is retired: no new job of it is taken")
    return UnknownSaga(f"no saga is called {saga!r}.{did_you_mean(saga, names)}")


class _KeyTaken(Exception):
    """Somebody used the key since we looked: roll back."""


def replayed(
    connection: Connection, tenant_id: str, key: str | None, fingerprint: str
) -> Submitted | None:
    """The answer that this key has already; None without a key, or when it was never used.

    Raises: InvalidInput, KeyReused.
    """
    if key is None:
        return None
    if not (1 <= len(key) <= MAX_KEY_CHARS and key.isprintable()):
        raise InvalidInput(f"an idempotency key has 1 to {MAX_KEY_CHARS} visible characters")
    known = job_reads.idempotent(connection, tenant_id, key)
    if known is None:
        return None
    if known.fingerprint != fingerprint:
        raise KeyReused(job_id=known.job_id)
    return Submitted(known.job_id, True, ())


def fingerprint_of_rerun(job_id: str) -> str:
    """Of the request to run a job again: another request than the submission of the same input, and
    one for each old job.
    """
    return hashlib.sha256(f"run again {job_id}".encode()).hexdigest()


def _fingerprint(submission: Submission, settings: Settings) -> str:
    """SHA-256 over saga name and input: the same request, whatever version of the saga is current."""
    try:
        text = json.dumps(
            [submission.saga, submission.input],
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            "the input is not JSON", faults=[{"pointer": "/input", "detail": str(error)}]
        ) from error
    # escapes are never shorter than the bytes they stand for: what is small enough with them need
    # not be measured
    if (
        len(text) > settings.input_bytes
        and (size := len(json_bytes(submission.input))) > settings.input_bytes
    ):
        raise InvalidInput(
            f"the input has {size} bytes; at most {settings.input_bytes} are taken (SUREFOOT_INPUT_BYTES)",
            faults=[{"pointer": "/input", "detail": "too large"}],
        )
    if submission.retry_of is not None:
        return fingerprint_of_rerun(submission.retry_of)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class _Job:
    """A job that is accepted and not written yet.

    `row`: of the table of jobs; `operations`: their rows.
    """

    submission: Submission
    graph: Graph
    row: dict[str, Any]
    operations: list[dict[str, Any]]
    layout: Layout
    fingerprint: str

    @property
    def submitted(self) -> Submitted:
        job_id, graph = str(self.row["id"]), self.graph
        plan = to_plan(self.layout, lambda step: message_of(job_id, graph, step, Kind.ACTION))
        return Submitted(job_id, False, plan)

    def insert_at_once(self, tx: Connection) -> None:
        """PostgreSQL: one statement, which commits by itself. Raises: _KeyTaken."""
        if not postgres_fast_path.insert_job(
            tx,
            self.row,
            self.operations,
            key=self.submission.key,
            fingerprint=self.fingerprint,
            deadline_s=self.submission.deadline_s,
            sla_s=self.graph.sla_s,
        ):
            raise _KeyTaken
        metrics.record(JOBS_SUBMITTED, saga=self.graph.saga)

    def insert(self, tx: Connection, also: Also | None) -> None:
        """Statement by statement. Raises: _KeyTaken, and what `also` raises."""
        submission, job_id = self.submission, self.row["id"]
        job_writes.insert_job(
            tx, self.row, deadline_s=submission.deadline_s, sla_s=self.graph.sla_s
        )
        if submission.key is not None and not job_writes.take_idempotency_key(
            tx, submission.tenant_id, submission.key, self.fingerprint, job_id
        ):
            raise _KeyTaken
        if also is not None:
            # after the key: of two requests with one key the second is answered with the first
            # one's job
            also(tx, job_id)
        if submission.tags:
            job_writes.add_tags(tx, job_id, submission.tags)
        operation_writes.insert_operations(tx, self.operations, answer=False)
        line = {"event": HistoryEvent.SUBMITTED, "actor": submission.actor}
        job_writes.add_history(
            tx, [{"job_id": job_id, "seq": 1, "key_id": key_of(submission.actor)} | line]
        )
        metrics.record(JOBS_SUBMITTED, saga=self.graph.saga)


def _accepted(
    job_id: str,
    submission: Submission,
    definition: Definition,
    value: dict[str, Any],
    fingerprint: str,
) -> _Job:
    graph = definition.graph
    row = {
        "id": job_id,
        "tenant_id": submission.tenant_id,
        "saga": submission.saga,
        "version": definition.version,
        "digest": definition.digest,
        "input": value,
        "summary": summary_of(definition.words.summary, definition.input_schema, value),
        "tags": list(submission.tags),
        "priority": 0,  # of the contract: nothing is ordered by it yet, so nobody may ask for one
        "retry_of": submission.retry_of,
        "created_by": submission.actor,
        "traceparent": submission.traceparent,
    }
    roots = [node.name for node in graph.nodes if not node.after]
    layout = forward_layout(graph, roots)
    of_job = (job_id, submission.tenant_id)
    operations = [
        new_operation(
            graph,
            of_job,
            node.name,
            Kind.ACTION,
            pending_dependencies=len(node.after),
            riding=node.name in layout.riding,
        )
        for node in graph.nodes
    ]
    return _Job(submission, graph, row, operations, layout, fingerprint)
