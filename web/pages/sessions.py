"""Where one's own key is signed in, and the end of a session, or of all."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.app.access import sessions
from surefoot.web.api import auth
from surefoot.web.api.auth import principal, session_id
from surefoot.web.services import services

routes = Blueprint("sessions_page", __name__, url_prefix="/sessions")
# What tells a browser and its system, the more special one first: each names others, too.
PROGRAMS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome"}
PROGRAMS |= {"HeadlessChrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows"}
SYSTEMS |= {"Mac OS": "macOS", "Linux": "Linux"}
SAID = {"ended": "That session has ended.", "over": "That session had ended before."}


@routes.get("")
def show() -> Response:
    limits = sessions.Limits.of(services().settings)
    found = sessions.list_sessions(services().db, limits, principal().key_id)
    said = SAID.get(request.args.get("said", ""))
    page = render_template(
        "sessions.html", sessions=found, own=session_id(), limits=limits, said=said, browser=browser
    )
    return make_response(page)


def browser(agent: str) -> str:
    """What a browser calls itself, as people call it; the beginning of its own words where that is
    not known.
    """
    program = next((name for mark, name in PROGRAMS.items() if mark in agent), "")
    system = next((name for mark, name in SYSTEMS.items() if mark in agent), "")
    known = " on ".join(word for word in (program, system) if word)
    return known or agent[:30] or "unknown"


@routes.post("/end")
def end_all() -> AnyResponse:
    """Sign out everywhere."""
    sessions.end(services().db, principal().actor, key_id=principal().key_id)
    response = make_response(redirect(url_for("sign_in.show"), 303))
    auth.sign_out(response)
    return response


@routes.post("/<session>/end")
def end(session: str) -> AnyResponse:
    who = principal()
    count = sessions.end(services().db, who.actor, key_id=who.key_id, session_id=session)
    return redirect(url_for("sessions_page.show", said="ended" if count else "over"), 303)
