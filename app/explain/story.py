"""The whole answer, for every state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from surefoot.app.errors import UnreadableDefinition
from surefoot.app.explain import endings
from surefoot.app.explain.facts import Facts, Letter, read
from surefoot.app.explain.moving import Wait, told, waits
from surefoot.app.explain.words import MOST_NAMED, at, sentence
from surefoot.app.rules.decisions import LetterAction, choice
from surefoot.app.rules.states import JobState
from surefoot.app.rules.waits import WaitingFor
from surefoot.app.store.job_reads import standing_of
from surefoot.app.store.rows.jobs import JobTimesRow
from surefoot.app.store.session import reading
from surefoot.app.store.views.names import stamp


def why(db: Engine, job_id: str, tenant_id: str | None) -> dict[str, Any]:
    """{"state", "since", "sentence", "waiting_for": [{"kind", "what", "since", "ends_by"}], "next":
    {"what", "at"}}.

    Raises: NotFound.
    """
    with reading(db) as connection:
        try:
            facts = read(connection, job_id, tenant_id, datetime.now(UTC).date())
        except UnreadableDefinition as error:
            return _unreadable(standing_of(connection, job_id, tenant_id), error)
    return tell(facts)


def _unreadable(job: JobTimesRow, error: UnreadableDefinition) -> dict[str, Any]:
    """What can be said without its definition: where it stands, and why nothing more is told."""
    ended = job.finished_at is not None
    wait = {
        "kind": WaitingFor.DEFINITION,
        "what": f"code that can read its definition ({error.details['digest']})",
    }
    going_on = "" if ended else " Nothing is given up; it continues with code that can read it."
    return {
        "state": job.state,
        "since": stamp(job.finished_at or job.attention_since or job.created_at),
        "sentence": sentence(error.message) + going_on,
        "waiting_for": [] if ended else [wait | {"since": None, "ends_by": None}],
        "next": {
            "what": "nothing: this is final" if ended else "run the release that wrote it",
            "at": None,
        },
    }


def tell(facts: Facts) -> dict[str, Any]:
    """The same from facts that were read."""
    state = facts.snapshot.state
    going_on = [] if facts.snapshot.ended else waits(facts)
    waiting_for = [wait.to_json() for wait in going_on]
    if state == JobState.ATTENTION:
        waiting_for = [_person(facts, letter) for letter in facts.letters] + waiting_for
    return {
        "state": str(state),
        "since": stamp(_since(facts)),
        "sentence": _sentence(facts, going_on),
        "waiting_for": waiting_for,
        "next": _next(facts, going_on),
    }


def _person(facts: Facts, letter: Letter) -> dict[str, Any]:
    """`step` names the effect that a decision is about, as its address does; `letter` asks for it,
    `owner` has taken the job on.
    """
    asked = {
        "kind": WaitingFor.PERSON,
        "what": f"a decision about {letter.step}",
        "since": stamp(letter.created_at),
        "ends_by": None,
    }
    return asked | {"step": letter.step, "letter": letter.id, "owner": facts.snapshot.job.owner}


def _sentence(facts: Facts, going_on: list[Wait]) -> str:
    found = sentence(*endings.findings(facts))
    return f"{_standing(facts, going_on)} {found}".strip()


def _standing(facts: Facts, going_on: list[Wait]) -> str:
    job, state = facts.snapshot.job, facts.snapshot.state
    if facts.snapshot.ended:
        return endings.ended(facts)
    said = told(going_on)
    words = said[:MOST_NAMED]
    if len(said) > MOST_NAMED:
        words.append(f"{len(said) - MOST_NAMED} more steps are under way or wait")
    if state == JobState.ATTENTION:
        return f"{endings.attention(facts)} {sentence(*words)}".strip()
    if state == JobState.COMPENSATING:
        by = (
            f"; operators are told if it is not done by {at(job.undo_deadline_at, facts.today)}"
            if job.undo_deadline_at and not words
            else ""
        )
        return f"{sentence('undoing: ' + endings.reason(facts))} {sentence(*words) or sentence('the next undo is being sent' + by)}"
    if state == JobState.PENDING:
        words = [f"accepted at {at(job.created_at, facts.today)}", *words]
    return sentence(*(words or ["its next step is being sent"]), *_asides(facts))


def _asides(facts: Facts) -> list[str]:
    """What is also true of a job that goes forward."""
    job = facts.snapshot.job
    asides = (
        ["a cancel was requested too late: it takes effect only if a step fails"]
        if job.cancel_requested
        else []
    )
    if job.deadline_missed:
        asides.append("its deadline passed after the point of no return")
    return asides


def _since(facts: Facts) -> datetime | None:
    """Since when it has been so."""
    snapshot, state = facts.snapshot, facts.snapshot.state
    if snapshot.ended:
        return snapshot.job.finished_at
    if state == JobState.ATTENTION and facts.letters:
        return facts.letters[0].created_at
    if state == JobState.COMPENSATING and facts.turned:
        return facts.turned.at
    return snapshot.job.created_at if state == JobState.PENDING else snapshot.started_at


def _next(facts: Facts, going_on: list[Wait]) -> dict[str, Any]:
    """The first thing that will happen, and when, if it has a time."""
    if facts.snapshot.ended:
        return {
            "what": "nothing: this is final. To do it again, resubmit it as a new job",
            "at": None,
        }
    if facts.snapshot.state == JobState.ATTENTION:
        actions = facts.letters[0].actions if facts.letters else (LetterAction.REDRIVE,)
        return {"what": f"an operator decides: {choice(actions)}", "at": None}
    if not going_on:
        return {"what": "the relay sends the next step, within a second or two", "at": None}
    dated = [wait for wait in going_on if wait.kind == WaitingFor.TIME and wait.ends_by is not None]
    first = (
        min(dated, key=lambda wait: wait.ends_by or datetime.max.replace(tzinfo=UTC))
        if len(dated) == len(going_on)
        else going_on[0]
    )
    return {
        "what": first.next,
        "at": stamp(first.ends_by) if first.kind == WaitingFor.TIME else None,
    }
