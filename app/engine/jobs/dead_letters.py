"""Dead letters: an operation that is given up, kept with its reason and what a person can do."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog

from surefoot.app import metrics
from surefoot.app.clock import now
from surefoot.app.engine.jobs.transaction import JobTransaction
from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.reasons import FailureReason, rule_of
from surefoot.app.rules.states import Dir, JobState, Kind
from surefoot.app.saga.graph import Graph
from surefoot.app.store import dead_letters
from surefoot.app.store.rows.dead_letters import QuestionRow
from surefoot.app.store.rows.operations import BriefOperationRow
from surefoot.app.store.views.names import names_in_log

log = structlog.get_logger("surefoot.attention")
ENGINE = "surefoot"  # who closes a letter when nobody has to
NO_OWNER = {"owner": None, "owned_at": None}


def require_attention(
    job_tx: JobTransaction, row: BriefOperationRow, *, why: FailureReason, error: dict[str, Any]
) -> None:
    """The job stands in `attention`, since now if it did not already, with a letter about this
    operation.

    Each asking is one WARNING, written when it is committed. An owner who had the operation retried
    keeps the job when the retry fails; for any other question somebody has to take the job on anew.
    """
    open_letter(job_tx, row, why=why, error=error, blocking=True)
    first: dict[str, Any] = {}
    if job_tx.state != JobState.ATTENTION:
        retried = dead_letters.was_retried(job_tx.tx, row.job_id, row.id)
        first = {"attention_since": now()} | ({} if retried else NO_OWNER)
    job_tx.change(
        state=JobState.ATTENTION, trouble=error, **first
    )  # `error` is why the job turned, and stays that
    job_tx.record(HistoryEvent.ATTENTION, row, why=why)
    named = names_in_log(job_tx.graph.saga, row.job_id)
    about = {
        "step": row.step,
        "kind": row.kind,
        "attempt": row.attempts,
        "why": why,
        "error": error.get("message"),
    }
    metrics.afterwards(partial(log.warning, "escalated", **named, **about))


def asks_whether_it_happened(graph: Graph, letter: QuestionRow) -> bool:
    """Whether only a person can answer: a step that is done at most once may have happened.

    No machine sends it back.
    """
    return (
        rule_of(letter.why).asks
        and letter.kind == Kind.ACTION
        and graph.by_name[letter.step].at_most_once
    )


def open_letter(
    job_tx: JobTransaction,
    row: BriefOperationRow,
    *,
    why: FailureReason,
    error: dict[str, Any] | None,
    blocking: bool,
) -> None:
    """One open letter for an operation.

    `blocking` holds the job in `attention`; else the job lands by itself.

    One that only says how late the job is gives way to one that asks what is to become of the
    operation.
    """
    present = dead_letters.open_letter_of(job_tx.tx, row.id)
    if present is not None and (not rule_of(present.why).lateness or why.rule.lateness):
        return
    if present is not None:
        dead_letters.close(
            job_tx.tx,
            present.id,
            resolution=Resolution.OVERTAKEN,
            actor=ENGINE,
            why="the operation was given up",
        )
    columns = {
        "job_id": row.job_id,
        "tenant_id": job_tx.job.tenant_id,
        "operation_id": row.id,
        "saga": job_tx.graph.saga,
        "step": row.step,
        "item": row.item,
        "kind": row.kind,
        "why": why,
        "error": error,
        "attempts": row.attempts,
        "blocking": blocking,
        "needs_person": blocking,
    }
    dead_letters.open_one(job_tx.tx, columns)


def nobody_is_asked(job_tx: JobTransaction, *, retried: bool = False) -> None:
    """The job moves by itself again: it is shown as what it is.

    Its owner is kept for the case that a retry fails.
    """
    state = JobState.RUNNING if job_tx.direction == Dir.FORWARD else JobState.COMPENSATING
    job_tx.change(state=state, attention_since=None, **({} if retried else NO_OWNER))


def no_longer_late(job_tx: JobTransaction) -> None:
    """Letters that only say how late the job is close by themselves: everything is done after all,
    or the job turns.
    """
    if job_tx.state != JobState.ATTENTION:
        return
    for letter in dead_letters.blocking_letters(job_tx.tx, job_tx.job.id):
        if rule_of(letter.why).lateness:
            why = "what it was about is over"
            dead_letters.close(
                job_tx.tx, letter.id, resolution=Resolution.OVERTAKEN, actor=ENGINE, why=why
            )
            job_tx.record(HistoryEvent.LETTER_OVERTAKEN, why=letter.why)
    if not dead_letters.blocking_letters(job_tx.tx, job_tx.job.id):
        nobody_is_asked(job_tx)
