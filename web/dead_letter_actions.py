"""A person's decision about a dead letter, carried out for the API and for the pages alike: on record first, then the bell."""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.redrive import discard_letter, redrive_letter
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.rules.planner import Plan
from surefoot.web.api.auth import principal
from surefoot.web.services import door

LETTER_ACTIONS = (
    "redrive",
    "discard",
    "mark-done",
    "waive",
    "mark-absent",
)  # as `actions` of a letter names them
RETRY = "retry"  # of the step of a letter that holds its job


@dataclass(frozen=True)
class Decided:
    """`job_id`: the job that goes on, which is a new one if `anew`. `message`: what was done, in words; `replayed`: done before."""

    job_id: str
    anew: bool
    message: str
    replayed: bool = False


def carry_out(
    word: str, job_id: str, letter_id: str, reason: str, key: str | None = None
) -> Decided:
    """One of LETTER_ACTIONS, or RETRY, about a letter of this job, by whoever asks. `key`: idempotency key of a redrive.

    Raises: what the engine says to it.
    """
    here, actor = door(), principal().actor
    if word == "discard":
        discard_letter(here.db, letter_id, actor, reason)
        return Decided(job_id, False, "It is dismissed; it stays on record.")
    if word == "redrive":
        done = redrive_letter(here.entrance, letter_id, Asked(actor, reason, key))
        here.bell.ring(done.plan)
        if isinstance(done, Submitted):
            return Decided(
                done.job_id,
                True,
                "Its job has ended, so this is a new job that names the old one.",
                done.replayed,
            )
        return Decided(job_id, False, "It was sent back with fresh attempts.")
    plan, message = _decision(word, letter_id, actor, reason)
    here.bell.ring(plan)
    return Decided(job_id, False, message)


def _decision(word: str, letter_id: str, actor: str, reason: str) -> tuple[Plan, str]:
    here = door()
    if word == "mark-absent":
        done = decisions.mark_absent(here.db, here.settings, letter_id, actor, reason)
    else:
        deciding = {
            RETRY: decisions.retry,
            "mark-done": decisions.mark_done,
            "waive": decisions.waive,
        }[word]
        done = deciding(here.db, letter_id, actor, reason)
    return done.plan, done.message
