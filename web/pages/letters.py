"""The page of dead letters, for operators: what was given up; redrive or discard it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.app.access.principal import Role
from surefoot.app.errors import Conflict, RequestError
from surefoot.app.rules.decisions import ACTIONS, LetterAction
from surefoot.app.rules.reasons import OF_LETTERS
from surefoot.app.rules.states import LetterState
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.views.counts import count_letters
from surefoot.app.store.views.dead_letters import letter_view, letters_view
from surefoot.app.store.views.sagas import saga_names
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.pages import pages_of_letters
from surefoot.web.dead_letter_actions import carry_out
from surefoot.web.pages import turning
from surefoot.web.pages.asked import Asked, asked
from surefoot.web.pages.once import key_of, new_key
from surefoot.web.pages.turning import Turned, turned
from surefoot.web.services import services

routes = Blueprint("letters_page", __name__, url_prefix="/dead-letters")
REASON_CHARACTERS = 1000
FILTERS = ("state", "saga", "step", "why")
STATES = tuple(str(state) for state in LetterState)
SAID = {  # what a button did, named in the address so that a link cannot put other words there
    "redriven": "It is redriven.",
    "discarded": "It is discarded; it stays on record.",
    "resubmitted-already": "Its job is resubmitted already; the page of the job names the other one.",
    "moved-on": "The letter has moved on, so there was nothing to do.",
}


@routes.get("")
@needs(Role.OPERATOR)
def show() -> Response:
    sagas = saga_names(services().db)
    chosen = asked({"state": STATES, "saga": sagas, "step": None, "why": OF_LETTERS})
    said = chosen.filters
    state, saga, step, why = (
        said.get("state", LetterState.OPEN),
        said.get("saga"),
        said.get("step"),
        said.get("why"),
    )
    if chosen.faults:
        return _page(chosen, sagas, [], None, 400)
    meant = DeadLetterFilter(
        tenant_id=principal().tenant_id, state=state, saga=saga, step=step, why=why
    )
    here, pages = services(), pages_of_letters(meant)
    letters, edge = letters_view(here.db, meant, after_id=pages.after_id(), limit=turning.PAGE_ROWS)
    total = count_letters(here.db, meant) if edge or "cursor" in request.args else None
    return _page(chosen, sagas, letters, turned(said, len(letters), pages.cursor(edge), total))


def _page(
    chosen: Asked,
    sagas: list[str],
    letters: list[dict[str, Any]],
    turn: Turned | None,
    status: int = 200,
) -> Response:
    page = render_template(
        "letters.html",
        letters=letters,
        turn=turn,
        whys=OF_LETTERS,
        sagas=sagas,
        asked=chosen.filters,
        faults=chosen.faults,
        here=_here(),
        key=new_key,
        said=SAID.get(request.args.get("said", "")),
    )
    return make_response(page, status)


@routes.post("/<letter_id>")
@needs(Role.OPERATOR)
def decide(letter_id: str) -> AnyResponse:
    here, who = services(), principal()
    letter = letter_view(here.db, letter_id, who.tenant_id)
    word, reason = request.form.get("decision", ""), request.form.get("reason", "").strip()
    if (
        word not in (LetterAction.REDRIVE, LetterAction.DISCARD)
        or not 1 <= len(reason) <= REASON_CHARACTERS
        or not reason.isprintable()
    ):
        raise RequestError("A decision needs a reason, on one line.")
    try:
        carry_out(ACTIONS[word], letter["job"], letter_id, reason, key_of(request.form))
    except Conflict as error:
        return _back("resubmitted-already" if error.details.get("job_id") else "moved-on")
    return _back("discarded" if word == LetterAction.DISCARD else "redriven")


def _here() -> dict[str, Any]:
    """What leads back to the page that was looked at: its filters and its cursor."""
    return {
        name: text
        for name in (*FILTERS, "cursor", "from", "trail")
        if (text := request.args.get(name))
    }


def _back(said: str) -> AnyResponse:
    return redirect(url_for("letters_page.show", **_here(), said=said), 303)
