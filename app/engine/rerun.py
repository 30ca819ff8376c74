"""Running an ended job again: a new job that names the old one, which stays as it ended."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from app.config import Settings
from app.engine.move import Move
from app.engine.submit import Submission, Submitted, submit
from app.errors import Conflict
from app.rules.states import ENDED
from app.saga.registry import Registry
from app.store import letters, queries
from app.store.types import AnyRow


def rerun(
    db: Engine, settings: Settings, registry: Registry | None, job: AnyRow, actor: str, why: str, *, letter_id: str | None = None
) -> Submitted:
    """Run an ended job again as a new one that names it; the letters it left are closed in the same transaction.

    `letter_id`: a letter that has to be open still. Raises: Conflict when it is not; RequestError as `submit`.
    """

    def settle(tx: Connection, new_job_id: str) -> None:
        old = Move(tx, job.id)
        open_one = letter_id is None or _is_open(tx, letter_id)
        if not open_one or old.state not in ENDED:
            raise Conflict("somebody else has decided this already")
        closed = letters.close_of_job(tx, job.id, retried_as=new_job_id, actor=actor, why=why)
        old.record("run_again", actor=actor, why=why, job=new_job_id, letters=closed)
        old.close()

    again = Submission(
        tenant_id=job.tenant_id,
        saga=job.saga,
        input=job.input,
        actor=actor,
        priority=job.priority,
        tags=tuple(job.tags),
        retry_of=job.id,
        traceparent=job.traceparent,
    )
    return submit(db, settings, registry, again, also=settle)


def _is_open(tx: Connection, letter_id: str) -> bool:
    letter = queries.letter(tx, letter_id)
    return letter is not None and letter.state == "open"
