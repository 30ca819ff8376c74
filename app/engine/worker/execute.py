"""Doing an operation: claim it, call the developer's function, and put on record how it went.

This is what a worker does with a message. The function runs outside any transaction and may be
killed at any line; so before it, the attempt is counted and noted as possibly effective, and after
it, one transaction decides. Knows nothing of Celery: the verdict says what the message's own chain
may do.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Engine

from surefoot.app import faults
from surefoot.app.config import LONGEST_S, Settings
from surefoot.app.engine.jobs import claiming, completion
from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.jobs.attempt import Attempt, Completion, Failure, TransitionResult
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import (
    Delivery,
    DeliveryOutcome,
    ExecutionResult,
    OperationInput,
)
from surefoot.app.engine.worker.failures import failure
from surefoot.app.engine.worker.gates import locks_first, take_locks
from surefoot.app.engine.worker.invoke import run
from surefoot.app.engine.worker.recording import log_quietly, record_with_retry, recorded, result_of
from surefoot.app.errors import LeaseLost
from surefoot.app.faults import Point
from surefoot.app.rules.reasons import FailureReason
from surefoot.app.rules.states import DONE, Kind, OpState
from surefoot.app.saga.calls import lock_keys
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Graph
from surefoot.app.saga.outcomes import NotYet
from surefoot.app.saga.source_location import came_from
from surefoot.app.secrecy import keep_hidden, scrub_json
from surefoot.app.store import job_reads, operation_reads, operation_writes, worker_register
from surefoot.app.store.claims import ClaimRequest, Holder
from surefoot.app.store.rows.operations import DeliveredRow
from surefoot.app.store.session import asking, execute_single
from surefoot.app.store.views.names import names_in_log
from surefoot.app.texts import json_bytes
from surefoot.app.trace import trace_id

log = structlog.get_logger("surefoot.perform")
# How soon an operation is offered again that met a worker without its definition: while a living
# worker has it, and while none has
VERSION_ELSEWHERE_S, VERSION_NOWHERE_S = 1.0, 10.0
# A store that was restored does not know its latest jobs, and the broker still has their messages
UNKNOWN_JOB = "unknown job: this store has none of that id (older than the message, if it was restored from a backup)"


class Claimed(NamedTuple):
    """An operation that this worker has claimed, and the definition that its job is pinned to."""

    saga: Saga[Any]
    work: OperationInput
    attempt: Attempt


def execute_operation(
    runtime: Runtime,
    delivery: Delivery,
) -> ExecutionResult:
    """Do what a message asks for, if it may be done.

    Raises: StoreUnavailable when the store cannot be asked (nothing was claimed), or cannot take
    the outcome for HOLD_S.
    """
    known = runtime.registry.get(delivery.saga) if delivery.saga else None
    if known is not None and delivery.step in known.graph.by_name:
        faults.reached(Point.BEFORE_CLAIM, known.name, delivery.step, delivery.kind)
        claimed = _claim_to_work(runtime, known, delivery)
        if claimed is not None:
            return _execute_claimed(runtime, delivery, claimed)
    return _perform(runtime, delivery, at_claim=known is None)


def _claim_to_work(runtime: Runtime, saga: Saga[Any], delivery: Delivery) -> Claimed | None:
    """In one statement, if the job is pinned to the definition that this worker has as its newest.

    None: that must be looked at.
    """
    graph, step, kind, item = saga.graph, delivery.step, delivery.kind, delivery.item
    claimed = claiming.claim_to_work(
        runtime.db,
        _claim_request(runtime.settings, graph, delivery, step, kind),
        graph,
        saga.digest,
        (delivery.job_id, step, kind, item),
    )
    if claimed is None:
        return None
    attempt, row = claimed
    whose, came_from, results = row.tenant, row.traceparent, row.results or {}
    named = (row.job_id, saga.name, saga.digest, row.input, step, kind, item)
    work = OperationInput(*named, whose, came_from, row.checkpoint, results)
    return Claimed(saga, work, attempt)


def _perform(runtime: Runtime, delivery: Delivery, *, at_claim: bool) -> ExecutionResult:
    """Look at the operation first: whose it is, whether it is done, which definition it needs.

    `at_claim`: that fault point is to come.
    """
    db = runtime.db
    with asking(db, name="execute.perform") as connection:
        seen = operation_reads.delivery(connection, delivery.operation_id)
        forged = _forged(seen, delivery)
        if seen is None and job_reads.unknown_job(connection, delivery.job_id):
            forged = UNKNOWN_JOB
        if seen is None or forged:
            return ExecutionResult(DeliveryOutcome.DROPPED, error=forged, forged=True)
    if seen.state in DONE:
        return _not_claimed(db, delivery)
    saga = runtime.registry.by_digest(seen.saga, seen.digest)
    if saga is None:
        return _other_version(db, delivery.operation_id, seen)
    if at_claim:
        faults.reached(Point.BEFORE_CLAIM, seen.saga, seen.step, seen.kind)
    request = _claim_request(runtime.settings, saga.graph, delivery, seen.step, seen.kind)
    attempt = claiming.claim(db, request)
    if attempt is None:
        return _not_claimed(db, delivery)
    named = (seen.job_id, seen.saga, seen.digest, seen.input, seen.step, seen.kind, seen.item)
    work = OperationInput(*named, seen.tenant, seen.traceparent, seen.checkpoint)
    return _execute_claimed(runtime, delivery, Claimed(saga, work, attempt))


def run_on(
    runtime: Runtime, delivery: Delivery, following: tuple[Attempt, OperationInput]
) -> ExecutionResult:
    """Do an operation that the completion before it has claimed (`ExecutionResult.following`).

    Raises: as `execute_operation`.

    It is claimed under the job's lock, so no turn came in between; one that comes now finds it
    running, as after any claim.
    """
    attempt, work = following
    saga = runtime.registry.by_digest(work.saga, work.digest)
    if saga is None:
        return ExecutionResult(DeliveryOutcome.DROPPED, error="no such definition")
    return _execute_claimed(runtime, delivery, Claimed(saga, work, attempt))


def _execute_claimed(runtime: Runtime, delivery: Delivery, claimed: Claimed) -> ExecutionResult:
    saga, work, attempt = claimed
    work = replace(work, secrets=saga.secrets_of(work.input))
    claimed = Claimed(saga, work, attempt)
    keep_hidden(work.secrets)
    about = {
        "operation": f"{work.step}.{work.kind}",
        "attempt": attempt.number,
        "fence": attempt.fence,
    }
    names = names_in_log(work.saga, work.job_id) | about
    if work.traceparent:
        names["trace_id"] = trace_id(work.traceparent)
    structlog.contextvars.bind_contextvars(**names)  # for whatever else writes a line meanwhile
    bound = log.bind(**names)
    if attempt.number > 1:
        log_quietly(bound.info, "resumed", worker=attempt.worker_id)
    faults.reached(Point.AFTER_CLAIM, work.saga, work.step, work.kind)
    interrupted: KeyboardInterrupt | None = (
        None  # by a person, where no worker runs it: that comes after the record
    )
    try:
        kept_out = (
            _acquire_locks(runtime, claimed)
            if locks_first(saga.graph, work.step, work.kind)
            else None
        )
        if isinstance(kept_out, TransitionResult):
            publish_plan(runtime.db, runtime.publisher, kept_out.plan)
            return result_of(kept_out, None, bound)
        outcome = kept_out or run(runtime, saga, work, attempt)
    except LeaseLost as error:
        log_quietly(bound.warning, "lease_lost", error=str(error))
        return ExecutionResult(DeliveryOutcome.DROPPED, error=str(error))
    except faults.Crashed:
        raise
    except (
        BaseException
    ) as error:  # whatever it is, it is put on record: a step must not end its worker
        outcome = failure(error, work, runtime.limit, saga[work.step])
        with suppress(Exception):
            bound.info("attempt_failed", error=outcome.error, at=came_from(error))
        interrupted = error if isinstance(error, KeyboardInterrupt) else None
    then = _next(runtime.settings, saga.graph, delivery)
    if (
        then is not None and delivery.rider is not None
    ):  # its claim is part of the transaction that comes now
        faults.reached(Point.BEFORE_CLAIM, work.saga, delivery.rider.step, delivery.rider.kind)
    ended = recorded(
        runtime.host,
        outcome,
        lambda told: _record(runtime, claimed, told, delivery.carried, then),
    )
    faults.reached(Point.AFTER_COMMIT, work.saga, work.step, work.kind)
    publish_plan(runtime.db, runtime.publisher, ended.plan)
    faults.reached(Point.AFTER_PUBLISH, work.saga, work.step, work.kind)
    if interrupted is not None:
        raise interrupted
    performed = replace(result_of(ended, outcome, bound), attempt=attempt.number)
    if ended.following is None or delivery.rider is None:
        return performed
    return replace(
        performed,
        following=(ended.following, work.next(delivery.rider.step, delivery.rider.kind, outcome)),
    )


def _claim_request(
    settings: Settings, graph: Graph, delivery: Delivery, step: str, kind: str
) -> ClaimRequest:
    """The claim of a delivery's own operation."""
    return claiming.claim_request(
        settings,
        delivery.operation_id,
        graph.by_name[step].limits_of(kind),
        Holder(worker_id=delivery.worker_id, pid=delivery.pid),
    )


def _next(settings: Settings, graph: Graph, delivery: Delivery) -> ClaimRequest | None:
    """The claim of the operation that the same child would run at once, should the completion make
    it ready.
    """
    rider = delivery.rider
    if rider is None or rider.step not in graph.by_name or not delivery.fit():
        return None
    limits = graph.by_name[rider.step].limits_of(rider.kind)
    message = delivery.message or delivery.operation_id
    apart = graph.apart(delivery.step, delivery.kind, rider.step, rider.kind)
    return claiming.claim_request(
        settings,
        rider.operation_id,
        limits,
        Holder(worker_id=delivery.worker_id, pid=delivery.pid, message=message),
        apart=apart,
    )


def _forged(seen: DeliveredRow | None, delivery: Delivery) -> str:
    """What a message says that the store does not: such a message is forged. Empty if all agrees."""
    if seen is None:
        return "forged: no such operation"
    if seen.job_id != delivery.job_id:
        return "forged: the operation is of another job"
    if (seen.step, seen.kind, seen.item) != (delivery.step, delivery.kind, delivery.item):
        return "forged: the operation is another step's"
    return ""


# --- before the claim -----------------------------------------------------------------------------
def _other_version(db: Engine, operation_id: str, seen: DeliveredRow) -> ExecutionResult:
    """This worker lacks the definition the job is pinned to: offer it again soon, no attempt used."""
    elsewhere = any(seen.digest in worker.digests for worker in worker_register.live_workers(db))
    pause_s = VERSION_ELSEWHERE_S if elsewhere else VERSION_NOWHERE_S
    parked = execute_single(
        db,
        lambda tx: operation_writes.wait_for_version(tx, operation_id, pause_s),
        name="execute.other_version",
    )
    log.warning("definition_missing", **names_in_log(seen.saga, seen.job_id), digest=seen.digest)
    return ExecutionResult(
        DeliveryOutcome.PARKED if parked else DeliveryOutcome.DROPPED,
        error=f"this worker has no definition {seen.digest} of {seen.saga}",
    )


def _not_claimed(db: Engine, delivery: Delivery) -> ExecutionResult:
    """A message that must not be run: it came again, or before its turn.

    This line is all that tells of it.
    """
    with asking(db, name="execute.not_claimed") as connection:
        row = operation_reads.operation(connection, delivery.operation_id)
    if row is None:
        return ExecutionResult(
            DeliveryOutcome.DROPPED, error="the operation is gone: not to be claimed"
        )
    about = {"operation": f"{row.step}.{row.kind}", "attempt": row.attempts, "fence": row.fence}
    names = names_in_log(delivery.saga, row.job_id) | about
    log.info(
        "message_skipped",
        **names,
        state=row.state,
        why=_WHY_SKIPPED.get(row.state, "it is not to be run any more"),
    )
    if row.state in DONE:
        return ExecutionResult(DeliveryOutcome.REPEATED)
    return ExecutionResult(
        DeliveryOutcome.DROPPED, error=f"the operation is {row.state}: not to be claimed"
    )


_WHY_SKIPPED: dict[str, str] = {
    OpState.COMPLETED: "it has been done already",
    OpState.SKIPPED: "it has been done already",
    OpState.RUNNING: "a worker is at it",
    OpState.PENDING: "it is not its turn yet",
    OpState.QUEUED: "it is not its turn yet",
    OpState.WAITING: "it waits for its time",
}


# --- before the first step ------------------------------------------------------------------------
def _acquire_locks(runtime: Runtime, claimed: Claimed) -> TransitionResult | Failure | None:
    """Take the job's semantic locks. None: it has them, or needs none."""
    saga, work, attempt = claimed
    settings = runtime.settings
    try:
        with runtime.limit(saga.graph.by_name[work.step].limits.timeout_s):
            most, longest = settings.lock_keys, settings.lock_key_chars
            keys = lock_keys(saga, work.step, work.input, work.tenant, most=most, longest=longest)
    except faults.Crashed:
        raise
    except BaseException as error:  # nothing of the step has run
        return replace(failure(error, work, runtime.limit), nothing_happened=True)
    return (
        record_with_retry(
            runtime.host, lambda: take_locks(runtime.db, settings, attempt, keys, work.tenant)
        )
        if keys
        else None
    )


# --- after it -------------------------------------------------------------------------------------
def _record(
    runtime: Runtime,
    claimed: Claimed,
    outcome: Any,
    carried: frozenset[str],
    then: ClaimRequest | None,
) -> TransitionResult:
    saga, work, attempt = claimed
    db, settings = runtime.db, runtime.settings
    if isinstance(outcome, Failure):
        return attempts.fail(
            db, settings, attempt, replace(outcome, error=scrub_json(outcome.error, work.secrets))
        )
    if isinstance(outcome, NotYet):
        return attempts.park(db, attempt, min(outcome.seconds, LONGEST_S))
    size = len(json_bytes(outcome))
    if size > settings.result_bytes:
        error = {
            "type": "ResultTooLarge",
            "message": f"the result has {size} bytes; at most {settings.result_bytes} are kept (SUREFOOT_RESULT_BYTES)",
        }
        return attempts.fail(db, settings, attempt, Failure(FailureReason.UNKNOWN_OUTCOME, error))
    ended = (
        completion.complete_forward(
            db, saga.graph, work.step, attempt, Completion(outcome, carried, then)
        )
        if work.kind == Kind.ACTION
        else None
    )
    return ended or completion.complete(db, attempt, outcome, carried, then)
