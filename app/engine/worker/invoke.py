"""Running the developer's code for one attempt: what it is given, and what is asked before it is
called again.

It runs outside any transaction and under its limit. What attempts before it may have left is asked
in `learning`; what is put on record afterwards is `execute_operation`'s.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from surefoot.app import faults
from surefoot.app.engine.jobs.attempt import Attempt
from surefoot.app.engine.runtime import Runtime
from surefoot.app.engine.worker.delivery import OperationInput
from surefoot.app.engine.worker.handle import StepHandle
from surefoot.app.engine.worker.recovery import Call, call
from surefoot.app.faults import Point
from surefoot.app.rules.states import Kind
from surefoot.app.saga.context import Context
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.graph import Node
from surefoot.app.store import operation_reads
from surefoot.app.store.rows.operations import ResultRow
from surefoot.app.store.session import asking

DEADLINE_MARGIN_S = (
    0.5  # a step's own deadline is so much before its limit, so that it can end by itself
)


def run(runtime: Runtime, saga: Saga[Any], work: OperationInput, attempt: Attempt) -> Any:
    """The result as JSON, a NotYet, or a Failure that needs no exception."""
    node = saga.graph.by_name[work.step]
    limits = node.limits_of(work.kind)
    port = StepHandle(runtime.db, runtime.settings, attempt, work.secrets)
    context = Context(
        job_id=work.job_id,
        saga=work.saga,
        step=work.step,
        item=work.item,
        kind=work.kind,
        attempt=attempt.number,
        fence=attempt.fence,
        deadline=runtime.host.monotonic()
        + max(limits.timeout_s - DEADLINE_MARGIN_S, limits.timeout_s / 2),
        tenant=work.tenant,
        traceparent=work.traceparent,
        last_checkpoint=work.checkpoint,
        port=port,
    )
    results, own = _results(runtime.db, node, work)
    with runtime.limit(limits.timeout_s):
        faults.reached(Point.BEFORE_EFFECT, work.saga, work.step, work.kind)
        with faults.inside(work.saga, work.step, work.kind):
            outcome = call(
                Call(saga, node, context, port, work, results, own),
                again=attempt.unknown_outcomes > 1,
            )
        faults.reached(Point.AFTER_EFFECT, work.saga, work.step, work.kind)
        return outcome


def _results(
    db: Engine, node: Node, work: OperationInput
) -> tuple[dict[str, Any], ResultRow | None]:
    """(step -> result of the steps before it, the row of its own action where it undoes or confirms
    it), read as far as not known.
    """
    known = {step: work.results[step] for step in node.after if step in work.results}
    wanted = [step for step in node.after if step not in known]
    if work.kind != Kind.ACTION:
        wanted.append(node.name)
    if not wanted:
        return known, None
    with asking(db, name="invoke.results") as connection:
        rows = operation_reads.results_of(connection, work.job_id, wanted, work.item)
    return {
        step: known[step] if step in known else rows[step].result for step in node.after
    }, rows.get(node.name)
