"""Who is asking. Every route is closed unless it is named open, so that a new one is closed by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.access import keys
from app.access.principal import Principal, Role
from web.api.problems import Problem
from web.door import door
from web.security import check_origin

P = ParamSpec("P")
R = TypeVar("R")
COOKIE = "surefoot_session"
_OPEN = "_surefoot_open"


def open_to_all(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route that needs no key."""
    setattr(view, _OPEN, True)
    return view


def needs(role: Role) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a route for this role and those above it. Raises: NotAllowed."""

    def mark(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            principal().need(role)
            return view(*args, **kwargs)

        return checked

    return mark


def principal() -> Principal:
    """Who is asking. Raises: Problem 401 outside of a route that was checked."""
    found: Principal | None = g.get("principal")
    if found is None:
        raise Problem("unauthorized", "This needs an API key.")
    return found


def install(app: Flask) -> None:
    def authenticate() -> AnyResponse | None:
        if request.endpoint is None or request.endpoint == "static" or request.method == "OPTIONS":
            return None  # no such route or method: that is said without a key
        view = app.view_functions[request.endpoint]
        if getattr(view, _OPEN, False):
            return None
        g.principal = _by_key() if "Authorization" in request.headers else _by_cookie()
        if g.principal is not None:
            return None
        if not request.path.startswith("/api/") and request.method == "GET" and "Authorization" not in request.headers:
            return redirect(url_for("sign_in.show", next=request.path if request.path != "/" else None), 303)
        raise Problem("unauthorized", "This needs an API key: send `Authorization: Bearer sf_…`.")

    app.before_request(authenticate)


def _by_key() -> Principal:
    scheme, _, key = request.headers["Authorization"].partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Problem("unauthorized", "The Authorization header must be `Bearer` and a key.")
    found = keys.find(door().db, key.strip())
    if found is None:
        raise Problem("unauthorized", "This key is unknown or was revoked.")
    return found


def _by_cookie() -> Principal | None:
    session = request.cookies.get(COOKIE)
    key_id = door().signer.key_id(session) if session else None
    found = keys.find_by_id(door().db, key_id) if key_id else None
    if found is not None:
        check_origin()
    return found


def sign_in(response: Response, who: Principal) -> None:
    """Give the browser a session that names the key; it is worth nothing once the key is revoked."""
    session = door().signer.session(who.key_id)
    response.set_cookie(COOKIE, session, httponly=True, samesite="Strict", secure=request.is_secure, path="/")


def sign_out(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.is_secure, path="/")
