"""The page of dead letters, for operators: what was given up, and sending it back or laying it down."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.access.principal import Role
from app.engine import redrive
from app.engine.letters import WHYS
from app.errors import Conflict, RequestError
from app.store.letters import Meant
from app.store.views.letters import PAGE_ROWS_MOST, letter_view, letters_view
from web.api.auth import needs, principal
from web.door import door

routes = Blueprint("letters_page", __name__, url_prefix="/dead-letters")
REASON_CHARACTERS = 1000
NAME_CHARACTERS = 64
SAID = {  # what a button did, named in the address so that nobody can put words of his own there
    "sent-back": "It was sent back.",
    "laid-down": "It is laid down; it stays on record.",
    "moved-on": "The letter has moved on, so there was nothing to do.",
}


@routes.get("")
@needs(Role.OPERATOR)
def show() -> Response:
    state = request.args.get("state", "open")
    state = state if state in ("open", "closed") else "open"
    saga, step, why = (request.args.get(name, "").strip()[:NAME_CHARACTERS] for name in ("saga", "step", "why"))
    meant = Meant(tenant_id=principal().tenant_id, state=state, saga=saga or None, step=step or None, why=why or None)
    letters, edge = letters_view(door().db, meant, limit=PAGE_ROWS_MOST)
    page = render_template(
        "letters.html",
        letters=letters,
        more=edge is not None,
        whys=WHYS,
        asked={"state": state, "saga": saga, "step": step, "why": why},
        said=SAID.get(request.args.get("said", "")),
    )
    return make_response(page)


@routes.post("/<letter_id>")
@needs(Role.OPERATOR)
def decide(letter_id: str) -> AnyResponse:
    here, who = door(), principal()
    letter_view(here.db, letter_id, who.tenant_id)
    word, reason = request.form.get("decision", ""), request.form.get("reason", "").strip()
    if word not in ("redrive", "discard") or not 1 <= len(reason) <= REASON_CHARACTERS or not reason.isprintable():
        raise RequestError("A decision needs its reason, of one line.")
    try:
        if word == "discard":
            redrive.discard_letter(here.db, letter_id, who.actor, reason)
            return _back("laid-down")
        here.bell.ring(redrive.redrive_letter(here.db, here.settings, here.registry, letter_id, who.actor, reason).plan)
    except Conflict:
        return _back("moved-on")
    return _back("sent-back")


def _back(said: str) -> AnyResponse:
    return redirect(url_for("letters_page.show", said=said), 303)
