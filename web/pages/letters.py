"""The page of dead letters, for operators: what was given up, and sending it back or laying it down."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.access.principal import Role
from app.engine import redrive
from app.engine.letters import WHYS
from app.engine.rerun import Asked
from app.errors import Conflict, RequestError
from app.store.letters import Meant
from app.store.views.letters import letter_view, letters_view
from web.api.auth import needs, principal
from web.api.pages import pages_of_letters
from web.door import door
from web.pages.once import key_of, new_key

routes = Blueprint("letters_page", __name__, url_prefix="/dead-letters")
PAGE_ROWS = 50
REASON_CHARACTERS = 1000
NAME_CHARACTERS = 64
FILTERS = ("state", "saga", "step", "why")
SAID = {  # what a button did, named in the address so that nobody can put words of his own there
    "sent-back": "It was sent back.",
    "laid-down": "It is laid down; it stays on record.",
    "again-already": "Its job is run again already; the page of the job names the other one.",
    "moved-on": "The letter has moved on, so there was nothing to do.",
}


@routes.get("")
@needs(Role.OPERATOR)
def show() -> Response:
    asked = _asked()
    state, saga, step, why = asked.get("state", "open"), asked.get("saga"), asked.get("step"), asked.get("why")
    meant = Meant(tenant_id=principal().tenant_id, state=state, saga=saga, step=step, why=why)
    pages = pages_of_letters(meant)
    letters, edge = letters_view(door().db, meant, after_id=pages.after_id(), limit=PAGE_ROWS)
    page = render_template(
        "letters.html",
        letters=letters,
        older=url_for("letters_page.show", **asked, cursor=pages.cursor(edge)) if edge else None,
        first="cursor" not in request.args,
        whys=WHYS,
        asked=asked,
        here=_here(),
        key=new_key,
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
        asked = Asked(who.actor, reason, key_of(request.form))
        here.bell.ring(redrive.redrive_letter(here.entrance, letter_id, asked).plan)
    except Conflict as error:
        return _back("again-already" if error.details.get("job_id") else "moved-on")
    return _back("sent-back")


def _asked() -> dict[str, Any]:
    """The filters of this address: those that say something."""
    asked = {name: text for name in FILTERS if (text := request.args.get(name, "").strip()[:NAME_CHARACTERS])}
    if asked.get("state") not in ("open", "closed"):
        asked.pop("state", None)
    return asked


def _here() -> dict[str, Any]:
    """What leads back to the page that was looked at: its filters and its cursor."""
    cursor = request.args.get("cursor")
    return _asked() | ({"cursor": cursor} if cursor else {})


def _back(said: str) -> AnyResponse:
    return redirect(url_for("letters_page.show", **_here(), said=said), 303)
