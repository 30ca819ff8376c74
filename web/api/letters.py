"""Dead letters, for operators: what was given up; redrive or discard it, one or many."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import redrive
from surefoot.app.engine.operators.redrive import RedrivePlan
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.rules.decisions import LetterAction
from surefoot.app.rules.states import LetterState
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.views.dead_letters import letter_view, letters_view
from surefoot.app.store.views.names import API, job_links
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.pages import pages_of_letters
from surefoot.web.api.responses import answer
from surefoot.web.api.shapes import letters as shapes
from surefoot.web.body import read_json
from surefoot.web.dead_letter_actions import carry_out
from surefoot.web.services import services

routes = Blueprint("letters", __name__, url_prefix=f"{API}/dead-letters")


class LetterId(BaseConverter):
    """A letter's id in an address, which is not one of the words that stand in its place: each has
    its own methods.
    """

    regex = r"(?!(?:redrive|cancel-redrive)$)[^/]+"


routes.record_once(
    lambda state: state.app.url_map.converters.update(letter=LetterId)
)  # before the first route that names it
FILTERS = ("saga", "step", "state", "needs_person", "why", "job")
CHANGED = Answer("It is on record; the letter as it stands.", shapes.DecidedLetter, ("Location",))


@routes.get("")
@described(
    "List dead letters, newest first",
    "dead letters",
    {
        200: Answer("A page of your tenant's letters.", shapes.LetterList, ("ETag", "Link")),
        304: p.UNCHANGED,
    },
    parameters=(
        p.LETTER_SAGA,
        p.LETTER_STEP,
        p.LETTER_STATE,
        p.LETTER_NEEDS_PERSON,
        p.LETTER_WHY,
        p.LETTER_JOB,
        p.LIMIT,
        p.CURSOR,
        p.IF_NONE_MATCH,
    ),
    problems=("invalid-input", "invalid-cursor"),
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters(*FILTERS, "limit", "cursor")
    meant, limit = meant_by_address(principal().tenant_id), requests.limit_parameter()
    pages = pages_of_letters(meant)
    items, edge = letters_view(services().db, meant, after_id=pages.after_id(), limit=limit)
    return pages.answer(items, edge)


@routes.get("/<letter:letter_id>")
@described(
    "Read a dead letter, with how each attempt ended",
    "dead letters",
    {200: Answer("The letter.", shapes.WholeLetter, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.IF_NONE_MATCH,),
)
@needs(Role.OPERATOR)
def show(letter_id: str) -> Response:
    return answer(letter_view(services().db, letter_id, principal().tenant_id))


@routes.post("/<letter:letter_id>/redrive")
@described(
    "Redrive a dead letter",
    "dead letters",
    {
        202: Answer(
            "It is on record; the letter as it stands.",
            shapes.DecidedLetter,
            ("Location", "Idempotent-Replayed"),
        )
    },
    body=requests.Reason,
    parameters=(p.IDEMPOTENCY_KEY,),
    problems=(
        "invalid-idempotency-key",
        "conflict",
        "key-reused",
        "unknown-saga",
        "above-limit",
        "too-many-requests",
    ),
    details="The operation of a letter that holds its job gets fresh attempts. A job that has ended is resubmitted as a"
    " new job, whose `resubmission_of` names the old one; `Location` is the job that runs now. The same key has the same"
    " new job. For a job that is resubmitted already the answer is a 409 whose `job` is the other one.",
)
@needs(Role.OPERATOR)
def redrive_one(letter_id: str) -> Response:
    here, who, key = services(), principal(), requests.idempotency_key()
    letter = letter_view(here.db, letter_id, who.tenant_id)
    reason = requests.checked(requests.Reason, read_json(request, here.settings.body_bytes)).reason
    done = carry_out(LetterAction.REDRIVE, letter["job"], letter_id, reason, key)
    view = letter_view(here.db, letter_id, who.tenant_id) | {"message": done.message}
    replayed = {"Idempotent-Replayed": "true"} if done.replayed else {}
    return answer(view, 202, {"Location": job_links(done.job_id)["self"]} | replayed)


@routes.post("/<letter:letter_id>/discard")
@described(
    "Discard a dead letter",
    "dead letters",
    {202: CHANGED},
    body=requests.Reason,
    problems=("conflict",),
    details="Nothing more is done about it. A letter that holds its job cannot be discarded (409): its step"
    " needs a decision; `actions` names the choices.",
)
@needs(Role.OPERATOR)
def discard(letter_id: str) -> Response:
    here, who = services(), principal()
    letter = letter_view(here.db, letter_id, who.tenant_id)
    reason = requests.checked(requests.Reason, read_json(request, here.settings.body_bytes)).reason
    done = carry_out(LetterAction.DISCARD, letter["job"], letter_id, reason)
    view = letter_view(here.db, letter_id, who.tenant_id) | {"message": done.message}
    return answer(view, 202, {"Location": job_links(done.job_id)["self"]})


@routes.post("/redrive")
@described(
    "Redrive many dead letters, at a rate",
    "dead letters",
    {
        202: Answer(
            "They are scheduled; the relay redrives each when its time comes.", shapes.Redriven
        )
    },
    body=requests.Redrive,
    details="Answered at once. The relay redrives `rate` letters a second; the rate rises evenly within `ramp` seconds."
    " With `dry_run` nothing is written and the answer says what would be redriven. Scheduled letters are not counted"
    " again.",
)
@needs(Role.OPERATOR)
def redrive_many() -> Response:
    here, who = services(), principal()
    wanted = requests.checked(requests.Redrive, read_json(request, here.settings.body_bytes))
    found = redrive.redrive_many(
        here.db,
        here.settings,
        RedrivePlan(_meant(wanted.filter, who.tenant_id), wanted.rate, wanted.ramp),
        Asked(who.actor, wanted.reason),
        dry_run=wanted.dry_run,
    )
    return answer(redriven(found, wanted.dry_run), 202)


@routes.post("/cancel-redrive")
@described(
    "Cancel the scheduled redrive of dead letters",
    "dead letters",
    {202: Answer("They stay open and are not scheduled any more.", shapes.Unscheduled)},
    body=requests.HoldBack,
    details="For a redrive of many that comes too early.",
)
@needs(Role.OPERATOR)
def cancel_redrive() -> Response:
    here, who = services(), principal()
    wanted = requests.checked(requests.HoldBack, read_json(request, here.settings.body_bytes))
    count = redrive.cancel_redrive(
        here.db, _meant(wanted.filter, who.tenant_id), who.actor, wanted.reason
    )
    return answer({"unscheduled": count}, 202)


def redriven(found: redrive.Scheduled, dry_run: bool) -> dict[str, object]:
    """The answer to a redrive of many."""
    return {
        "letters": len(found.letters),
        "takes_seconds": round(found.takes_s, 3),
        "dry_run": dry_run,
        "more": found.more,
        "first": list(found.letters[: shapes.FIRST_LETTERS]),
    }


def meant_by_address(tenant_id: str) -> DeadLetterFilter:
    """The filters of this address. Raises: Problem 422."""
    states = (LetterState.OPEN, LetterState.CLOSED, "any")
    state = requests.choice_parameter("state", states) or LetterState.OPEN
    needs_person = requests.choice_parameter("needs_person", ("true", "false"))
    return DeadLetterFilter(
        tenant_id=tenant_id,
        state=None if state == "any" else state,
        saga=requests.text_parameter("saga"),
        step=requests.text_parameter("step"),
        why=requests.text_parameter("why"),
        needs_person=None if needs_person is None else needs_person == "true",
        job_id=requests.id_parameter("job"),
    )


def _meant(wanted: requests.LetterFilter, tenant_id: str) -> DeadLetterFilter:
    return DeadLetterFilter(
        tenant_id=tenant_id,
        saga=wanted.saga,
        step=wanted.step,
        why=wanted.why,
        needs_person=wanted.needs_person,
        job_id=wanted.job,
    )
