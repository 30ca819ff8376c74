"""Running an ended job again: a new job that names the old one, which stays as it ended.

An old job has one re-run at most that is open or completed. That is decided under the old job's lock, so of two who ask
at once one wins, and the other is told which job there is. Whoever wants it done once more runs the re-run again.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submission, Submitted
from surefoot.app.engine.jobs.transaction import Move, job_transaction
from surefoot.app.errors import Conflict
from surefoot.app.rules.events import HistoryEvent
from surefoot.app.rules.states import ENDED, JobState
from surefoot.app.store import acts, dead_letters, job_reads
from surefoot.app.store.acts import Act
from surefoot.app.store.rows.jobs import JobRow
from surefoot.app.store.views.names import short_name

WITHOUT_A_REASON = "run again"


@dataclass(frozen=True)
class Asked:
    """Who asks for it, and why.

    `key`: idempotency key; `again`: a job that completed is meant, so it is all done once more; `decides`: whoever asks may
    decide about a job in attention.
    """

    actor: str
    why: str = ""
    key: str | None = None
    again: bool = False
    decides: bool = True


def rerun(
    entrance: Entrance, job: JobRow, asked: Asked, *, letter_id: str | None = None
) -> Submitted:
    """Run an ended job again; the letters it left are closed in the same transaction.

    `letter_id`: a letter that has to be open still. Raises: Conflict when it is not, when the job completed and nobody said
    `again`, and when a re-run stands (`details["job_id"]`); what `submit` raises.
    """
    why = asked.why or WITHOUT_A_REASON

    def settle(tx: Connection, new_job_id: str) -> None:
        with job_transaction(tx, job.id, by=asked.actor) as old:
            if (letter_id is not None and not _is_open(tx, letter_id)) or old.state not in ENDED:
                raise Conflict("somebody else has decided this already")
            _may_run_again(tx, old, new_job_id, asked)
            closed = dead_letters.close_of_job(
                tx, job.id, retried_as=new_job_id, actor=asked.actor, why=why
            )
            old.record(
                HistoryEvent.RESUBMITTED, actor=asked.actor, why=why, job=new_job_id, letters=closed
            )
        about = ("letter", letter_id) if letter_id is not None else ("job", str(job.id))
        said = {"new_job": new_job_id, "letters_closed": closed, "again": asked.again or None}
        acts.note(tx, asked.actor, Act("redrive", *about, job.tenant_id, job.id, why, said))

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


def _may_run_again(tx: Connection, old: Move, new_job_id: str, asked: Asked) -> None:
    """Raises: Conflict. The caller holds the old job's lock."""
    other = job_reads.standing_rerun(tx, old.job.id, besides=new_job_id)
    if other is not None:
        name = short_name(other.saga, other.id)
        if other.state == JobState.COMPLETED:
            said = (
                f"it was run again as {name}, which completed; to do it once more, run {name} again"
            )
        else:
            said = f"it runs again already as {name}, which is {other.state}"
        raise Conflict(said, job_id=other.id)
    if old.state == JobState.COMPLETED and not asked.again:
        said = "the job completed, so running it again does all of it once more; say so if that is meant"
        raise Conflict(f'{said} ("again": true, or --again)', state=old.state)


def _is_open(tx: Connection, letter_id: str) -> bool:
    letter = dead_letters.letter(tx, letter_id)
    return letter is not None and letter.state == "open"
