"""Running the developer's code for one attempt: what it is given, and what is asked before it is called again.

It runs outside any transaction and under its limit. Knows how an attempt that went before may have left things; what is put
on record afterwards is `perform`'s.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from app import faults
from app.config import Settings
from app.engine.attempt import Attempt, Failure
from app.engine.failures import Limit
from app.engine.port import StorePort
from app.engine.work import Work
from app.faults import Point
from app.rules.states import Kind, OpState
from app.saga.calls import ask, invoke
from app.saga.context import Context
from app.saga.definition import Saga
from app.saga.graph import Limits, Node
from app.saga.outcomes import UNKNOWN, Happened, NotYet
from app.store import queries
from app.store.session import asking
from app.store.types import AnyRow

FOR_GOOD = (OpState.FAILED, OpState.ABANDONED)  # the states of an action that may have failed for good
DEADLINE_MARGIN_S = 0.5  # a step's own deadline is so much before its limit, so that it can end by itself


def run(db: Engine, settings: Settings, saga: Saga[Any], node: Node, work: Work, attempt: Attempt, limits: Limits, limit: Limit) -> Any:
    """The result as JSON, a NotYet, or a Failure that needs no exception."""
    context = Context(
        job_id=work.job_id,
        saga=work.saga,
        step=work.step,
        item=work.item,
        kind=work.kind,
        attempt=attempt.number,
        fence=attempt.fence,
        deadline=time.monotonic() + max(limits.timeout_s - DEADLINE_MARGIN_S, limits.timeout_s / 2),
        traceparent=work.traceparent,
        last_checkpoint=work.checkpoint,
        port=StorePort(db, settings, attempt, work.secrets),
    )
    results, own = _results(db, node, work)
    with limit(limits.timeout_s):
        faults.reached(Point.BEFORE_EFFECT, work.saga, work.step, work.kind)
        with faults.inside(work.saga, work.step, work.kind):
            outcome = _call(saga, node, context, work, attempt, results, own)
        faults.reached(Point.AFTER_EFFECT, work.saga, work.step, work.kind)
        return outcome


def _call(saga: Saga[Any], node: Node, context: Context, work: Work, attempt: Attempt, results: dict[str, Any], own: AnyRow | None) -> Any:
    if work.kind == Kind.ACTION and attempt.unsettled > 1:
        return _again(saga, node, context, work, results)
    if own is None or own.state == OpState.COMPLETED:
        return invoke(saga, node.name, work.kind, context, work.input, results, own.result if own is not None else None)
    if own.state in FOR_GOOD and (own.error or {}).get("for_good"):  # never run again, not even as a replay
        if own.result is not None:
            return invoke(saga, node.name, work.kind, context, work.input, results, own.result)
        node = replace(node, settle="undo")
    learnt = _what_happened(saga, node, context, work, results)
    if isinstance(learnt, NotYet):
        return learnt
    return invoke(saga, node.name, work.kind, context, work.input, results, learnt)


def _results(db: Engine, node: Node, work: Work) -> tuple[dict[str, Any], AnyRow | None]:
    """(step -> result of the steps before it, the row of its own action where it undoes or confirms it), read as far as not known."""
    known = {step: work.results[step] for step in node.after if step in work.results}
    wanted = [step for step in node.after if step not in known]
    if work.kind != Kind.ACTION:
        wanted.append(node.name)
    if not wanted:
        return known, None
    with asking(db) as connection:
        rows = queries.results_of(connection, work.job_id, wanted, work.item)
    return {step: known[step] if step in known else rows[step].result for step in node.after}, rows.get(node.name)


def _again(saga: Saga[Any], node: Node, context: Context, work: Work, results: dict[str, Any]) -> Any:
    """An earlier attempt may have taken effect: ask before doing it again, where the step can be asked."""
    if node.probe:
        answer = ask(saga, node.name, context, work.input)
        if isinstance(answer, Happened):
            context.log.info("found_done")
            return answer.result
        if answer is UNKNOWN:
            error = {"type": "OutcomeUnknown", "message": "an earlier attempt may have taken effect, and that cannot be told yet"}
            return Failure("transient", error, nothing_happened=True)
    elif node.irreversible and node.on_unknown == "attention":
        error = {
            "type": "OutcomeUnknown",
            "message": "an earlier attempt may have taken effect; this step is done at most once, so a person must look",
        }
        return Failure("unknown_outcome", error, nothing_happened=True)
    return invoke(saga, node.name, work.kind, context, work.input, results, None)


def _what_happened(saga: Saga[Any], node: Node, context: Context, work: Work, results: dict[str, Any]) -> Any | None:
    """Before the undo of an unknown outcome: the action's result if it can be learnt, else None."""
    if node.settle == "replay":  # the key is spent afterwards: a late request changes nothing
        return invoke(saga, node.name, Kind.ACTION, replace(context, kind=Kind.ACTION), work.input, results, None)
    if node.probe:
        answer = ask(saga, node.name, context, work.input)
        return answer.result if isinstance(answer, Happened) else None
    return None
