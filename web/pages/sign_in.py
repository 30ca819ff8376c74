"""Signing in with a key, and out."""

from __future__ import annotations

import re

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from web import rates
from web.api import auth
from web.api.auth import open_to_all
from web.security import check_origin

routes = Blueprint("sign_in", __name__)


@routes.get("/sign-in")
@open_to_all
def show() -> Response:
    return make_response(render_template("sign_in.html", next=_way_back(request.args.get("next")), fault=None))


@routes.post("/sign-in")
@open_to_all
def enter() -> AnyResponse:
    check_origin()
    target = _way_back(request.form.get("next"))
    rates.check_tries()
    who = auth.find_key(request.form.get("key", "").strip())
    if who is None:
        fault = "This key is unknown or was revoked. It begins with sf_, unless you chose your own."
        return make_response(render_template("sign_in.html", next=target, fault=fault), 401)
    response = make_response(redirect(target, 303))
    auth.sign_in(response, who)
    return response


@routes.post("/sign-out")
@open_to_all
def leave() -> AnyResponse:
    check_origin()
    response = make_response(redirect(url_for("sign_in.show"), 303))
    auth.sign_out(response)
    return response


def _way_back(target: str | None) -> str:
    """A path of our own, and nothing that a browser would read as another site's address."""
    if target and len(target) <= 200 and re.fullmatch(r"/[A-Za-z0-9_-][A-Za-z0-9_/.-]*", target):
        return target
    return url_for("home.show")
