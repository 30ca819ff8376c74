"""A person's word: cancel, and what to do with an operation that is given up.

Each is recorded with who and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.clock import after, now
from surefoot.app.config import Settings
from surefoot.app.engine.jobs.compensation import (
    Ground,
    past_point_of_no_return,
    start_compensation,
)
from surefoot.app.engine.jobs.dead_letters import no_longer_late, nobody_is_asked
from surefoot.app.engine.jobs.release import finish, on_operation_finished
from surefoot.app.engine.jobs.retries import SERVED
from surefoot.app.engine.jobs.transaction import JobTransaction, job_transaction
from surefoot.app.errors import Conflict, NotFound
from surefoot.app.rules.decisions import LetterAction, Resolution
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.planner import Plan
from surefoot.app.rules.states import ENDED, Cause, Dir, JobState, Kind, OpState
from surefoot.app.store import acts, dead_letters, operation_reads, operation_writes, statements
from surefoot.app.store.acts import Act
from surefoot.app.store.ids import is_id
from surefoot.app.store.rows.dead_letters import DeadLetterRow
from surefoot.app.store.rows.operations import OperationRow
from surefoot.app.store.session import reading, transaction


@dataclass(frozen=True)
class Decision:
    """`applied`: it took effect now; else `message` says why it did not, or what was noted instead.

    `plan`: to ring.
    """

    applied: bool
    message: str
    plan: Plan = ()


@dataclass(frozen=True)
class _Choice:
    """What a person chose to do about a letter, and why."""

    action: LetterAction
    actor: str
    why: str


def cancel(
    db: Engine, settings: Settings, job_id: str, actor: str, why: str | None = None
) -> Decision:
    """Ask a job to stop and be undone. `why`: for the record of acts.

    Past the point of no return the wish is noted, once: it takes effect as soon as there is a way
    back after all.
    Raises: NotFound; Conflict when the job has ended or turned for another reason.
    """

    def work(tx: Connection) -> Decision:
        job_tx = JobTransaction(tx, job_id, by=actor)
        if job_tx.state in ENDED:
            raise Conflict(f"the job has ended: {job_tx.state}", state=job_tx.state)
        if job_tx.direction == Dir.BACK:
            if job_tx.cause == Cause.CANCEL:
                return Decision(True, "It is being cancelled already.")
            raise Conflict("the job is being undone already", state=job_tx.state)
        ground = Ground(Cause.CANCEL, "cancelled on request", actor=actor)
        if start_compensation(job_tx, ground, undo_s=settings.undo_seconds):
            acts.note(tx, actor, _cancelled(job_tx, "it turned", why))
            return Decision(True, "It is being cancelled; what was done is undone.", job_tx.close())
        blocker = past_point_of_no_return(job_tx)
        if not job_tx.job.cancel_requested:  # asked again, there is nothing new to write
            job_tx.change(cancel_requested=True)
            job_tx.record(
                HistoryEvent.CANCEL_REQUESTED,
                actor=actor,
                too_late_because=blocker.step if blocker is not None else None,
            )
            acts.note(tx, actor, _cancelled(job_tx, "too late: the request is recorded", why))
            job_tx.close()
        return Decision(False, f"Too late to cancel: {_too_late(blocker)}")

    return transaction(db, work, name="decisions.cancel")


def retry(db: Engine, letter_id: str, actor: str, why: str) -> Decision:
    """Give a dead letter's operation fresh attempts.

    Of a step that is done at most once this says that it has not happened.

    Raises: NotFound; Conflict when the letter is closed (two redrives: one wins) or the job has
    ended.
    """

    return _decide(db, letter_id, _Choice(LetterAction.REDRIVE, actor, why), _fresh_attempts)


def retry_in(job_tx: JobTransaction, letter: DeadLetterRow, actor: str, why: str) -> None:
    """The same within a transaction of the letter's job. Raises: Conflict as above."""
    _carry_out(job_tx, letter, _Choice(LetterAction.REDRIVE, actor, why), _fresh_attempts)


def mark_done(db: Engine, letter_id: str, actor: str, why: str) -> Decision:
    """A person has done it by hand: the operation counts as completed."""

    def change(job_tx: JobTransaction, operation: OperationRow) -> None:
        _settled(
            job_tx,
            operation,
            {
                "state": OpState.COMPLETED,
                "unknown_outcomes": 0,
                "resolution": Resolution.MARKED_DONE,
                "finished_at": now(),
            },
        )

    return _decide(db, letter_id, _Choice(LetterAction.MARK_DONE, actor, why), change)


def waive(db: Engine, letter_id: str, actor: str, why: str) -> Decision:
    """It will not be done, and that is accepted: the operation counts as skipped.

    The effect stays on record as waived.
    """

    def change(job_tx: JobTransaction, operation: OperationRow) -> None:
        _settled(
            job_tx,
            operation,
            {"state": OpState.SKIPPED, "resolution": Resolution.WAIVED, "finished_at": now()},
        )

    return _decide(db, letter_id, _Choice(LetterAction.WAIVE, actor, why), change)


def mark_absent(db: Engine, settings: Settings, letter_id: str, actor: str, why: str) -> Decision:
    """A person has found that the action never happened: nothing of it is left, and the job turns.

    Raises: Conflict when the letter is about an undo, or another step has passed the point of no
    return.
    """

    def change(job_tx: JobTransaction, operation: OperationRow) -> None:
        if operation.kind != Kind.ACTION:
            raise Conflict("only an action can be marked absent")
        _only_given_up(operation)
        operation_writes.decide_failed_operation(
            job_tx.tx, operation.id, {"unknown_outcomes": 0, "resolution": Resolution.MARKED_ABSENT}
        )
        no_longer_late(job_tx)
        reason = f"{operation.step} was found not to have happened"
        ground = Ground(Cause.FAILED, reason, actor=actor)
        if not start_compensation(job_tx, ground, undo_s=settings.undo_seconds):
            raise Conflict("the job can no longer be undone: a later step has happened")

    return _decide(db, letter_id, _Choice(LetterAction.MARK_ABSENT, actor, why), change)


def letter_of(db: Engine, job_id: str, step: str) -> str:
    """The open dead letter of a job's step (its undo's before its action's). Raises: NotFound."""
    with reading(db, name="decisions.letter_of") as connection:
        letters = (
            [row for row in dead_letters.blocking_letters(connection, job_id) if row.step == step]
            if is_id(job_id)
            else []
        )
    if not letters:
        raise NotFound(f"no person is asked about {step} of this job")
    return str(sorted(letters, key=lambda row: row.kind, reverse=True)[0].id)


def _too_late(blocker: OperationRow | None) -> str:
    if blocker is not None and blocker.kind == Kind.CONFIRM:
        return "every step is done and is being confirmed."
    step = blocker.step if blocker is not None else "its last steps"
    return f"{step} is past the point of no return. If it fails, the job is cancelled then."


def _cancelled(job_tx: JobTransaction, came_of_it: str, why: str | None) -> Act:
    job = job_tx.job
    details = {"came_of_it": came_of_it}
    return Act("cancel", "job", job.id, job.tenant_id, job.id, why, details)


# --- how ------------------------------------------------------------------------------------------
def _fresh_attempts(job_tx: JobTransaction, operation: OperationRow) -> None:
    limits = job_tx.graph.by_name[operation.step].limits_of(operation.kind)
    # what the last attempt said stays on the page until the next one has ended; whether it was for
    # good is answered
    said = {
        name: value for name, value in (operation.error or {}).items() if name != "for_good"
    } or None
    fresh = {
        "max_attempts": operation.attempts + limits.attempts,
        "claim_deadline_at": after(operation.queue_s),
        "stop_requested": False,
        "error": said,
    }
    values = statements.READY_NOW | fresh | SERVED
    if operation.kind == Kind.ACTION and job_tx.graph.by_name[operation.step].at_most_once:
        values["unknown_outcomes"] = (
            # "may it have happened?" is answered: it has not. One attempt may take effect, as
            # before
            0
        )
    row = operation_writes.decide_failed_operation(job_tx.tx, operation.id, values)
    if row is not None:
        job_tx.ready([row])


def _only_given_up(operation: OperationRow) -> None:
    if operation.state != OpState.FAILED:
        raise Conflict(
            f"the {operation.kind} of {operation.step} is {operation.state} and goes on by itself: it can only be redriven"
        )


def _settled(job_tx: JobTransaction, operation: OperationRow, values: dict[str, Any]) -> None:
    _only_given_up(operation)
    row = operation_writes.decide_failed_operation(job_tx.tx, operation.id, values)
    if row is not None:
        on_operation_finished(job_tx, row)


def _decide(
    db: Engine,
    letter_id: str,
    choice: _Choice,
    change: Callable[[JobTransaction, OperationRow], None],
) -> Decision:
    name = f"decisions.{choice.action}"
    with reading(db, name=name) as connection:
        letter = dead_letters.letter(connection, letter_id, choice.actor)
    if letter is None:
        raise NotFound("there is no such dead letter")

    def work(tx: Connection) -> Plan:
        with job_transaction(tx, letter.job_id, by=choice.actor) as job_tx:
            _carry_out(job_tx, letter, choice, change)
        return job_tx.plan

    plan = transaction(db, work, name=name)
    return Decision(True, choice.action.rule.resolution.replace("_", " "), plan)


def _carry_out(
    job_tx: JobTransaction,
    letter: DeadLetterRow,
    choice: _Choice,
    change: Callable[[JobTransaction, OperationRow], None],
) -> None:
    rule, actor, why = choice.action.rule, choice.actor, choice.why
    if job_tx.state in ENDED:
        raise Conflict(
            f"the job has ended: {job_tx.state}; resubmit it as a new job", state=job_tx.state
        )
    if not letter.blocking:
        raise Conflict("this letter holds no job: the job ends by itself", state=job_tx.state)
    operation = operation_reads.operation(job_tx.tx, letter.operation_id)
    if operation is None or not dead_letters.close(
        job_tx.tx, letter.id, resolution=rule.resolution, actor=actor, why=why
    ):
        raise Conflict("somebody else has decided this already")
    job_tx.record(rule.event, operation, actor=actor, why=why)
    said = {"step": letter.step, "kind": letter.kind, "item": letter.item or None}
    acts.note(
        job_tx.tx,
        actor,
        Act(rule.act, "letter", letter.id, job_tx.job.tenant_id, job_tx.job.id, why, said),
    )
    if job_tx.state == JobState.ATTENTION and not dead_letters.blocking_letters(
        job_tx.tx, letter.job_id
    ):
        nobody_is_asked(job_tx, retried=choice.action == LetterAction.REDRIVE)
    change(job_tx, operation)
    finish(job_tx)
