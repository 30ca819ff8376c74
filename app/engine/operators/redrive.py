"""Redriving jobs and dead letters, and discarding letters: one by one, or many by the clock.

A letter that holds its job is redriven by giving its operation fresh attempts. If its job has
ended, the job is resubmitted, since the old keys are spent; closing the letter and making the new
job are one transaction, so a letter makes one job however often it is asked for, and whatever
crashes. A redrive of many only *schedules* them; the relay carries each out when its time comes, so
that one outage does not cause the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submitted, fingerprint_of_rerun, replayed
from surefoot.app.engine.jobs.transaction import JobTransaction, job_transaction
from surefoot.app.engine.operators import decisions as decide
from surefoot.app.engine.operators.decisions import Decision
from surefoot.app.engine.operators.resubmit import Asked, asked_about, resubmit
from surefoot.app.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
)
from surefoot.app.rules.decisions import Resolution
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.pacing import departures
from surefoot.app.rules.states import ENDED, JobState, LetterState
from surefoot.app.store import (
    acts,
    dead_letters,
    definitions,
    job_reads,
    job_writes,
    operation_reads,
)
from surefoot.app.store.acts import Act
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.rows.dead_letters import LetterId
from surefoot.app.store.rows.jobs import JobRow
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.views.dead_letters import decisions_about

log = structlog.get_logger("surefoot.redrive")


class NotLanded(Conflict):
    """The job is still being undone; afterwards it can be resubmitted as a new job."""


# --- one ------------------------------------------------------------------------------------------
def redrive_job(entrance: Entrance, job_id: str, asked: Asked) -> Decision | Submitted:
    """Give a job in attention fresh attempts where it stands.

    The same key has the same answer, the job itself. Raises: NotFound; NotAllowed; InvalidInput
    without a reason; Conflict for a job that has ended, or moves by itself.
    """
    job, answered = asked_about(entrance.db, job_id, asked, name="redrive.redrive_job")
    if answered is not None:
        return answered
    if job.state in ENDED:
        raise Conflict(
            f"the job has ended: it is {job.state}; resubmit it as a new job", state=job.state
        )
    if job.state != JobState.ATTENTION:
        raise Conflict(
            f"the job is {job.state} and moves by itself: there is nothing to redrive",
            state=job.state,
        )
    return _fresh_attempts(entrance, job, asked)


def _fresh_attempts(entrance: Entrance, job: JobRow, asked: Asked) -> Decision | Submitted:
    """Fresh attempts for everything that a person is asked about."""
    if not asked.decides:
        raise NotAllowed("A person is asked about this job: this needs the role operator.")
    if not asked.why:
        said = "a person is asked about this job: say the reason for trying again"
        raise InvalidInput(said, faults=[{"pointer": "/reason", "detail": said}])

    def work(tx: Connection) -> Decision | Submitted:
        job_tx = JobTransaction(tx, job.id, by=asked.actor)
        given_up = dead_letters.blocking_letters(tx, job.id)
        mark = fingerprint_of_rerun(job.id)
        new = (
            not given_up
            or asked.key is None
            or job_writes.take_idempotency_key(tx, job.tenant_id, asked.key, mark, job.id)
        )
        if not given_up or not new:
            answered = replayed(
                tx, job.tenant_id, asked.key, mark
            )  # of a request that came first with the same key
            if answered is None:
                raise Conflict("somebody else has decided this already", state=job_tx.state)
            return answered
        for letter in given_up:
            decide.retry_in(job_tx, letter, asked.actor, asked.why)
        many = "s" if len(given_up) != 1 else ""
        said = f"{len(given_up)} operation{many} redriven with fresh attempts."
        return Decision(True, said, job_tx.close())

    return transaction(entrance.db, work, name="redrive.redrive_job")


def redrive_letter(entrance: Entrance, letter_id: str, asked: Asked) -> Decision | Submitted:
    """Redrive the operation of a letter; of a job that has ended, resubmit the job.

    Raises: NotFound; Conflict when it is closed; NotLanded while its job is being undone;
    RequestError when the saga's present version does not take the old job's input; what `resubmit`
    raises.
    """
    with reading(entrance.db, name="redrive.redrive_letter") as connection:
        letter = dead_letters.letter(connection, letter_id, asked.actor)
        if letter is None:
            raise NotFound("there is no such dead letter")
        job = job_reads.job(connection, letter.job_id)
        answered = None
        if not letter.blocking:
            answered = replayed(connection, job.tenant_id, asked.key, fingerprint_of_rerun(job.id))
    if answered is not None:
        return answered
    if letter.state != LetterState.OPEN:
        raise Conflict(f"the letter is closed: {letter.resolution} by {letter.resolved_by}")
    if letter.blocking:
        return decide.retry(entrance.db, letter_id, asked.actor, asked.why)
    if job.state not in ENDED:
        raise NotLanded(
            f"the job is {job.state} and has not ended yet; afterwards its letter can be redriven"
        )
    return resubmit(entrance, job, asked, letter_id=letter_id)


def discard_letter(db: Engine, letter_id: str, actor: str, why: str) -> str:
    """Discard a letter: nothing is done about it. Returns its job's id.

    Raises: NotFound; Conflict when it is closed, or holds its job: then a decision has to be made.
    """
    with reading(db, name="redrive.discard_letter") as connection:
        letter = dead_letters.letter(connection, letter_id, actor)
        graph = definitions.graph_of_job(connection, letter.job_id) if letter is not None else None
    if letter is None or graph is None:
        raise NotFound("there is no such dead letter")
    if letter.blocking and letter.state == LetterState.OPEN:
        raise Conflict(
            f"the letter holds its job in attention, so it stays; decide about {letter.step} instead: "
            f"{' or '.join(decisions_about(letter, graph))}"
        )

    def work(tx: Connection) -> None:
        with job_transaction(tx, letter.job_id, by=actor) as job_tx:
            if not dead_letters.close(
                tx, letter_id, resolution=Resolution.DISCARDED, actor=actor, why=why
            ):
                raise Conflict("the letter is closed already")
            row = operation_reads.operation(tx, letter.operation_id)
            job_tx.record(HistoryEvent.DISCARDED, row, actor=actor, why=why)
            about = ("letter", letter_id, job_tx.job.tenant_id, job_tx.job.id)
            said = {"step": letter.step, "kind": letter.kind}
            acts.note(tx, actor, Act("discard", *about, why, said))

    transaction(db, work, name="redrive.discard_letter")
    return str(letter.job_id)


# --- many -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Scheduled:
    """`letters`: ids in the order in which they are redriven; `takes_s`: until the last one leaves;
    `more`: there are others.
    """

    letters: tuple[str, ...]
    takes_s: float
    more: bool


@dataclass(frozen=True)
class RedrivePlan:
    """Which letters are redriven: `rate` a second, which is reached within `ramp_s` seconds."""

    meant: DeadLetterFilter
    rate: float
    ramp_s: float = 0.0


def redrive_many(
    db: Engine, settings: Settings, plan: RedrivePlan, asked: Asked, *, dry_run: bool = False
) -> Scheduled:
    """Date every open letter that is meant and not dated yet.

    At most SUREFOOT_REDRIVE_LETTERS of them, the oldest first. With `dry_run` nothing is written.
    """
    most = settings.redrive_letters

    def work(tx: Connection) -> Scheduled:
        rows = dead_letters.unscheduled(tx, plan.meant, most + 1)
        chosen = tuple(row.id for row in rows[:most])
        times = list(departures(len(chosen), plan.rate, plan.ramp_s))
        takes_s = times[-1] if times else 0.0
        if not dry_run:
            dated = list(zip(chosen, times, strict=True))
            dead_letters.schedule(tx, dated, actor=asked.actor, why=asked.why)
            pace = {"rate": plan.rate, "ramp_seconds": plan.ramp_s}
            said = pace | {"takes_seconds": round(takes_s, 3)}
            act = _act_on("redrive-many", plan.meant, asked.why, said)
            _note_many(tx, asked.actor, act, rows[:most])
        return Scheduled(chosen, takes_s, len(rows) > most)

    if dry_run:
        with reading(db, name="redrive.redrive_many") as connection:
            return work(connection)
    return transaction(db, work, name="redrive.redrive_many")


def cancel_redrive(db: Engine, meant: DeadLetterFilter, actor: str, why: str) -> int:
    """Take letters off the schedule whose redrive is still to come. Returns how many."""

    def work(tx: Connection) -> int:
        rows = dead_letters.unschedule(tx, meant, actor)
        _note_many(tx, actor, _act_on("cancel-redrive", meant, why, {}), rows)
        return len(rows)

    return transaction(db, work, name="redrive.cancel_redrive")


def _act_on(word: str, meant: DeadLetterFilter, why: str, details: dict[str, Any]) -> Act:
    """The act for a request about many letters."""
    filters = {
        f"only_{name}": value
        for name, value in asdict(meant).items()
        if name not in ("tenant_id", "state")
    }
    return Act(word, "letters", "", meant.tenant_id, reason=why, details=details | filters)


def _note_many(tx: Connection, actor: str, whole: Act, rows: Sequence[LetterId]) -> None:
    """Note the act, and a part of it for each letter. `rows`: id, job_id, tenant_id of letters."""
    if not rows:
        return
    whole = replace(whole, details={"letters": len(rows), **(whole.details or {})})
    parts = (Act(whole.word, "letter", row.id, row.tenant_id, row.job_id) for row in rows)
    acts.note_parts(tx, actor, acts.note(tx, actor, whole), parts)
