"""A person's decision about a dead letter, carried out for the API and for the pages alike: on
record first, then the bell.
"""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.decisions import Decision
from surefoot.app.engine.operators.redrive import discard_letter, redrive_letter
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.rules.decisions import LetterAction
from surefoot.web.api.auth import principal
from surefoot.web.services import services


@dataclass(frozen=True)
class Decided:
    """`job_id`: the job that goes on, which is a new one if `anew`.

    `message`: what was done, in words; `replayed`: done before.
    """

    job_id: str
    anew: bool
    message: str
    replayed: bool = False


def carry_out(
    action: LetterAction, job_id: str, letter_id: str, reason: str, key: str | None = None
) -> Decided:
    """Do this about a letter of this job, in the caller's name.

    `key`: idempotency key of a redrive.

    Raises: what the engine says to it.
    """
    here, actor = services(), principal().actor
    if action == LetterAction.DISCARD:
        discard_letter(here.db, letter_id, actor, reason)
        return Decided(job_id, False, "The letter is discarded; it stays on record.")
    if action == LetterAction.REDRIVE:
        done = redrive_letter(here.entrance, letter_id, Asked(actor, reason, key))
        here.bell.publish_plan(done.plan)
        if isinstance(done, Submitted):
            return Decided(
                done.job_id,
                True,
                "The job has ended, so it was resubmitted as this new job.",
                done.replayed,
            )
        return Decided(job_id, False, "The operation was redriven with fresh attempts.")
    decided = _decision(action, letter_id, actor, reason)
    here.bell.publish_plan(decided.plan)
    return Decided(job_id, False, decided.message)


def _decision(action: LetterAction, letter_id: str, actor: str, reason: str) -> Decision:
    here = services()
    if action == LetterAction.MARK_ABSENT:
        return decisions.mark_absent(here.db, here.settings, letter_id, actor, reason)
    decide = decisions.mark_done if action == LetterAction.MARK_DONE else decisions.waive
    return decide(here.db, letter_id, actor, reason)
