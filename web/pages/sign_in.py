"""Signing in with a key, and out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.web import rates
from surefoot.web.api import auth
from surefoot.web.api.auth import open_to_all
from surefoot.web.pages.home import carried, filled_again
from surefoot.web.security import check_origin

routes = Blueprint("sign_in", __name__)
TARGET_CHARACTERS = 1000
OWN_ADDRESS = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9_/.-]*)?(?:\?[A-Za-z0-9_.~%&=+:,@-]*)?")
CARRIED = "carried."  # before the names of a form's fields, on the sign-in form
NOTHING: Mapping[str, str] = MappingProxyType({})
SIGNED_OUT = "You were signed out meanwhile."


@routes.get("/sign-in")
@open_to_all
def show() -> Response:
    return _page(_way_back(request.args.get("next")))


@routes.post("/sign-in/again")
@open_to_all
def again() -> Response:
    """A form that was sent without a session: what was typed is carried through the sign-in.

    It is drawn again afterwards, and sent by a click on it alone. Secrets are not carried.
    """
    check_origin()
    sent_to = request.args.get("next", "")
    if sent_to == url_for("home.submit"):
        return _page(url_for("home.show"), 401, carried=carried(request.form), notice=SIGNED_OUT)
    return _page(_page_of(sent_to), 401, notice=f"{SIGNED_OUT} Nothing was done.")


@routes.post("/sign-in")
@open_to_all
def enter() -> AnyResponse:
    check_origin()
    target = _way_back(request.form.get("next"))
    rates.check_tries()
    who = auth.find_key(request.form.get("key", "").strip())
    form = {
        name.removeprefix(CARRIED): value
        for name, value in request.form.items()
        if name.startswith(CARRIED)
    }
    if who is None:
        fault = "This key is unknown or was revoked. It begins with sf_, unless you chose your own."
        return _page(target, 401, fault=fault, carried=form)
    g.principal = who
    response = filled_again(form) if form else make_response(redirect(target, 303))
    auth.sign_in(response, who)
    return response


def _page(
    target: str,
    status: int = 200,
    *,
    fault: str = "",
    notice: str = "",
    carried: Mapping[str, str] = NOTHING,
) -> Response:
    page = render_template(
        "sign_in.html", next=target, fault=fault, notice=notice, carried=carried, prefix=CARRIED
    )
    return make_response(page, status)


def _page_of(sent_to: str) -> str:
    """The page from which a form was sent there: the job's, or the list's."""
    job = re.match(r"/jobs/[^/]+", sent_to)
    return _way_back(job[0] if job else "/" + sent_to.strip("/").partition("/")[0])


@routes.post("/sign-out")
@open_to_all
def leave() -> AnyResponse:
    check_origin()
    response = make_response(redirect(url_for("sign_in.show"), 303))
    auth.sign_out(response)
    return response


def _way_back(target: str | None) -> str:
    """An address of our own, and nothing that a browser would read as another site's."""
    if target and len(target) <= TARGET_CHARACTERS and OWN_ADDRESS.fullmatch(target):
        return target
    return url_for("home.show")
