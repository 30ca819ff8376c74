"""Resubmitting an ended job: a new job that names the old one, which stays as it ended.

At most one resubmission of a job is open or completed. That is decided under the old job's lock, so
of two concurrent requests one wins, and the other is told which job there is. To do it once more,
resubmit the resubmission.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submission, Submitted, fingerprint_of_rerun, replayed
from surefoot.app.engine.jobs.transaction import JobTransaction, job_transaction
from surefoot.app.errors import Conflict
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import ENDED, JobState, LetterState
from surefoot.app.store import acts, dead_letters, job_reads
from surefoot.app.store.acts import Act
from surefoot.app.store.rows.jobs import JobRow
from surefoot.app.store.session import reading
from surefoot.app.store.views.names import short_name

WITHOUT_A_REASON = "resubmitted"


@dataclass(frozen=True)
class Asked:
    """The actor of a request, and the reason.

    `key`: idempotency key; `again`: a completed job is meant, so all of it is done once more;
    `decides`: the actor may decide about a job in attention.
    """

    actor: str
    why: str = ""
    key: str | None = None
    again: bool = False
    decides: bool = True


def asked_about(
    db: Engine, job_id: str, asked: Asked, *, name: str
) -> tuple[JobRow, Submitted | None]:
    """The job that is meant, and the answer that its key had before. Raises: NotFound."""
    with reading(db, name=name) as connection:
        job = job_reads.job(connection, job_id, asked.actor)
        mark = fingerprint_of_rerun(job_id)
        return job, replayed(connection, job.tenant_id, asked.key, mark)


def resubmit_job(entrance: Entrance, job_id: str, asked: Asked) -> Submitted:
    """Make a new job of one that has ended. The same key has the same new job.

    Raises: NotFound; Conflict for a job that has not ended; what `resubmit` raises.
    """
    job, answered = asked_about(entrance.db, job_id, asked, name="resubmit.resubmit_job")
    if answered is not None:
        return answered
    if job.state not in ENDED:
        raise Conflict(
            f"the job has not ended: it is {job.state}; only an ended job is resubmitted",
            state=job.state,
        )
    return resubmit(entrance, job, asked)


def resubmit(
    entrance: Entrance, job: JobRow, asked: Asked, *, letter_id: str | None = None
) -> Submitted:
    """Make a new job of an ended one; the letters it left are closed in the same transaction.

    `letter_id`: a letter that has to be open still. Raises: Conflict when it is closed, when the
    job completed without `again`, and when a resubmission is open or completed
    (`details["job_id"]`); what `submit` raises.
    """
    why = asked.why or WITHOUT_A_REASON

    def settle(tx: Connection, new_job_id: str) -> None:
        with job_transaction(tx, job.id, by=asked.actor) as old:
            if (letter_id is not None and not _is_open(tx, letter_id)) or old.state not in ENDED:
                raise Conflict("somebody else has decided this already")
            _may_resubmit(tx, old, new_job_id, asked)
            closed = dead_letters.close_of_job(
                tx, job.id, retried_as=new_job_id, actor=asked.actor, why=why
            )
            old.record(
                HistoryEvent.RESUBMITTED, actor=asked.actor, why=why, job=new_job_id, letters=closed
            )
        about = ("letter", letter_id) if letter_id is not None else ("job", str(job.id))
        said = {"new_job": new_job_id, "letters_closed": closed, "again": asked.again or None}
        acts.note(tx, asked.actor, Act("resubmit", *about, job.tenant_id, job.id, why, said))

    again = Submission(
        tenant_id=job.tenant_id,
        saga=job.saga,
        input=job.input,
        actor=asked.actor,
        key=asked.key,
        tags=tuple(job.tags),
        retry_of=job.id,
        traceparent=job.traceparent,
    )
    return entrance.submit(again, also=settle)


def _may_resubmit(tx: Connection, old: JobTransaction, new_job_id: str, asked: Asked) -> None:
    """Raises: Conflict. The caller holds the old job's lock."""
    other = job_reads.standing_rerun(tx, old.job.id, besides=new_job_id)
    if other is not None:
        name = short_name(other.saga, other.id)
        if other.state == JobState.COMPLETED:
            said = f"it was resubmitted as {name}, which completed; to do it once more, resubmit {name}"
        else:
            said = f"it is resubmitted already as {name}, which is {other.state}"
        raise Conflict(said, job_id=other.id)
    if old.state == JobState.COMPLETED and not asked.again:
        said = (
            "the job completed, so a resubmission does all of it once more; say so if that is meant"
        )
        raise Conflict(f'{said} ("again": true, or --again)', state=old.state)


def _is_open(tx: Connection, letter_id: str) -> bool:
    letter = dead_letters.letter(tx, letter_id)
    return letter is not None and letter.state == LetterState.OPEN
