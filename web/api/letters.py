"""Dead letters, for operators: what was given up, and sending it back or laying it down, one or many."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import redrive
from surefoot.app.engine.operators.redrive import RedrivePlan
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.rules.decisions import LetterAction
from surefoot.app.store.dead_letters import Meant
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
from surefoot.web.services import door

routes = Blueprint("letters", __name__, url_prefix=f"{API}/dead-letters")


class LetterId(BaseConverter):
    """A letter's id in an address, which is not one of the words that stand in its place: each has its own methods."""

    regex = r"(?!(?:redrive|hold-back)$)[^/]+"


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
    items, edge = letters_view(door().db, meant, after_id=pages.after_id(), limit=limit)
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
    return answer(letter_view(door().db, letter_id, principal().tenant_id))


@routes.post("/<letter:letter_id>/redrive")
@described(
    "Retry it",
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
        "approval-needed",
        "too-many-requests",
    ),
    details="A letter that holds its job gives the operation fresh attempts. One whose job has ended makes a new job, which names the old"
    " one (`retry_of`); `Location` is the job that runs now. The same key has the same new job. A job that is run again already is a 409"
    " whose `job` is the other one.",
)
@needs(Role.OPERATOR)
def send_back(letter_id: str) -> Response:
    here, who, key = door(), principal(), requests.idempotency_key()
    letter = letter_view(here.db, letter_id, who.tenant_id)
    reason = requests.checked(requests.Reason, read_json(request, here.settings.body_bytes)).reason
    done = carry_out(LetterAction.REDRIVE, letter["job"], letter_id, reason, key)
    view = letter_view(here.db, letter_id, who.tenant_id) | {"message": done.message}
    replayed = {"Idempotent-Replayed": "true"} if done.replayed else {}
    return answer(view, 202, {"Location": job_links(done.job_id)["self"]} | replayed)


@routes.post("/<letter:letter_id>/discard")
@described(
    "Dismiss it: nothing more is done about it",
    "dead letters",
    {202: CHANGED},
    body=requests.Reason,
    problems=("conflict",),
    details="A letter that holds its job is not dismissed (409): a decision about its step is needed; `actions` names those there are.",
)
@needs(Role.OPERATOR)
def discard(letter_id: str) -> Response:
    here, who = door(), principal()
    letter = letter_view(here.db, letter_id, who.tenant_id)
    reason = requests.checked(requests.Reason, read_json(request, here.settings.body_bytes)).reason
    done = carry_out(LetterAction.DISCARD, letter["job"], letter_id, reason)
    view = letter_view(here.db, letter_id, who.tenant_id) | {"message": done.message}
    return answer(view, 202, {"Location": job_links(done.job_id)["self"]})


@routes.post("/redrive")
@described(
    "Send back many, at a rate",
    "dead letters",
    {
        202: Answer(
            "They are dated; the relay sends each back when its time comes.", shapes.Redriven
        )
    },
    body=requests.Redrive,
    details="Answered at once. `rate` letters a second, a rate that is reached evenly within `ramp` seconds; with `dry_run` nothing is"
    " written and the answer says what would be sent back. Letters that have a date already are not counted again.",
)
@needs(Role.OPERATOR)
def send_back_many() -> Response:
    here, who = door(), principal()
    wanted = requests.checked(requests.Redrive, read_json(request, here.settings.body_bytes))
    found = redrive.redrive_many(
        here.db,
        here.settings,
        RedrivePlan(_meant(wanted.filter, who.tenant_id), wanted.rate, wanted.ramp),
        Asked(who.actor, wanted.reason),
        dry_run=wanted.dry_run,
    )
    return answer(redriven(found, wanted.dry_run), 202)


@routes.post("/hold-back")
@described(
    "Take back what is dated and has not been sent back",
    "dead letters",
    {202: Answer("They stay open, without a date.", shapes.HeldBack)},
    body=requests.HoldBack,
    details="For a redrive of many that turns out to come too early.",
)
@needs(Role.OPERATOR)
def hold_back() -> Response:
    here, who = door(), principal()
    wanted = requests.checked(requests.HoldBack, read_json(request, here.settings.body_bytes))
    count = redrive.hold_back(
        here.db, _meant(wanted.filter, who.tenant_id), who.actor, wanted.reason
    )
    return answer({"held_back": count}, 202)


def redriven(found: redrive.Scheduled, dry_run: bool) -> dict[str, object]:
    """The answer to a redrive of many."""
    return {
        "letters": len(found.letters),
        "takes_seconds": round(found.takes_s, 3),
        "dry_run": dry_run,
        "more": found.more,
        "first": list(found.letters[: shapes.FIRST_LETTERS]),
    }


def meant_by_address(tenant_id: str) -> Meant:
    """The filters of this address. Raises: Problem 422."""
    state = requests.choice_parameter("state", ("open", "closed", "any")) or "open"
    needs_person = requests.choice_parameter("needs_person", ("true", "false"))
    return Meant(
        tenant_id=tenant_id,
        state=None if state == "any" else state,
        saga=requests.text_parameter("saga"),
        step=requests.text_parameter("step"),
        why=requests.text_parameter("why"),
        needs_person=None if needs_person is None else needs_person == "true",
        job_id=requests.id_parameter("job"),
    )


def _meant(wanted: requests.LetterFilter, tenant_id: str) -> Meant:
    return Meant(
        tenant_id=tenant_id,
        saga=wanted.saga,
        step=wanted.step,
        why=wanted.why,
        needs_person=wanted.needs_person,
        job_id=wanted.job,
    )
