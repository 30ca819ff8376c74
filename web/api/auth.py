"""The caller of a request. Every route is closed unless it is named open, so that a new one is
closed by default.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, Response, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.app.access import keys, sessions
from surefoot.app.access.hashing import hashed
from surefoot.app.access.principal import Principal, Role
from surefoot.web import rates
from surefoot.web.address import client_address, is_secure
from surefoot.web.api.problems import Problem
from surefoot.web.security import check_origin
from surefoot.web.services import services

P = ParamSpec("P")
R = TypeVar("R")
COOKIE = "surefoot_session"
_OPEN = "_surefoot_open"
_ROLE = "_surefoot_role"
_CHECKS = "_surefoot_checks_key"
_BY_ITSELF = "_surefoot_asked_by_a_page"
_REMEMBERED = "surefoot.principals"
REMEMBERED_MOST = 1000
SIGNED_OUT = "signed out"  # what ended a session, where it was its own browser
NO_KEY = "This needs an API key: send `Authorization: Bearer sf_…`."


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

        setattr(checked, _ROLE, role)
        return checked

    return mark


def checks_its_key(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route that asks for itself, in a statement of its own, whether the key is still good
    (or calls `check_key`).

    Whose key it is may then be remembered, for that never changes: polling costs one statement, and
    a revoked key is refused at once.
    """
    setattr(view, _CHECKS, True)
    return view


def asked_by_a_page(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route that a page asks by itself, again and again: that nobody has used the page shows
    all the same.
    """
    setattr(view, _BY_ITSELF, True)
    return view


def is_open(view: Callable[..., object]) -> bool:
    """Whether this route needs no key."""
    return bool(getattr(view, _OPEN, False))


def role_of(view: Callable[..., object]) -> Role | None:
    """The role that this route needs, if it needs more than a key."""
    found: Role | None = getattr(view, _ROLE, None)
    return found


def principal() -> Principal:
    """The caller. Raises: Problem 401 outside of a route that was checked."""
    found: Principal | None = g.get("principal")
    if found is None:
        raise Problem("unauthorized", "This needs an API key.")
    return found


def tenant_seen() -> str | None:
    """The tenant whose rows the caller may see; None for the platform, which is shown all
    tenants'.
    """
    who = principal()
    return None if who.may(Role.PLATFORM) else who.tenant_id


def check_key() -> None:
    """Ask the store about this request's key unless that was done. Raises: Problem 401."""
    if not g.pop("key_is_remembered", False):
        return
    _remembered_ones().pop(_fingerprint(), None)
    g.principal = _who()
    if g.principal is None:
        raise Problem("unauthorized", NO_KEY)


def check_session() -> None:
    """For a request that has waited: ask again whether its session goes on. Raises: Problem 401."""
    if session_id() is not None and _by_cookie() is None:
        raise Problem("unauthorized", NO_KEY)


def install(app: Flask) -> None:
    app.extensions[_REMEMBERED] = {}

    def authenticate() -> AnyResponse | None:
        view = current_app.view_functions.get(request.endpoint or "")
        plain = request.endpoint == "static" or request.method == "OPTIONS"
        if view is None or plain or is_open(view):
            if request.endpoint not in rates.UNBOUNDED:
                rates.count_address()
            return None  # no such route or method: that is said without a key
        known = _remembered()
        if known is not None:
            rates.count_key(known.key_id)
            if getattr(view, _CHECKS, False):
                g.principal, g.key_is_remembered = known, True
                return None
        g.principal = _who()
        if g.principal is not None:
            if known is None:
                rates.count_key(g.principal.key_id)
            return None
        rates.count_address()
        if (
            not request.path.startswith(("/api/", "/metrics"))
            and "Authorization" not in request.headers
        ):
            if request.method == "GET":
                here = request.full_path.removesuffix("?")
                return redirect(url_for("sign_in.show", next=here if here != "/" else None), 303)
            if request.method == "POST" and "text/html" in request.headers.get("Accept", ""):
                return redirect(url_for("sign_in.again", next=request.path), 307)  # with its form
        raise Problem("unauthorized", NO_KEY)

    app.before_request(authenticate)


def _who() -> Principal | None:
    """Ask the store who this is. None: the request names no key that is good. Raises: Problem 401,
    403.
    """
    if "Authorization" not in request.headers:
        return _by_cookie()
    found = _by_key()
    known = _remembered_ones()
    if len(known) >= REMEMBERED_MOST:
        known.clear()
    known[_fingerprint()] = found
    return found


def _remembered() -> Principal | None:
    """Whose key this request names, if that was found before. A session is never remembered: it
    ends in many ways.
    """
    return _remembered_ones().get(_fingerprint()) if "Authorization" in request.headers else None


def _remembered_ones() -> dict[str, Principal]:
    found: dict[str, Principal] = current_app.extensions[_REMEMBERED]
    return found


def _fingerprint() -> str:
    return hashed(request.headers["Authorization"])  # the key itself is nowhere kept


def _by_key() -> Principal:
    if _remembered() is None:
        rates.count_address()
        rates.check_tries()
    scheme, _, key = request.headers["Authorization"].partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Problem("unauthorized", "The Authorization header must be `Bearer` and a key.")
    found = find_key(key.strip())
    if found is None:
        raise Problem("unauthorized", "This key is unknown or was revoked.")
    return found


def find_key(key: str) -> Principal | None:
    """Whose key this is. One that is nobody's counts against the address that it came from."""
    found = keys.find(services().db, key)
    if found is None:
        rates.count_wrong_key()
    return found


def _by_cookie() -> Principal | None:
    token, here = _token(), services()
    limits = sessions.Limits.of(here.settings)
    found = sessions.find(here.db, token, limits) if token else None
    if found is None:
        return None
    check_origin()
    g.session_id = found.id
    if not getattr(current_app.view_functions[request.endpoint or ""], _BY_ITSELF, False):
        sessions.note_use(here.db, found, limits)
    return found.principal


def _token() -> str | None:
    """The session that this request's cookie names, if its signature is good."""
    cookie = request.cookies.get(_cookie_name())
    return services().signer.token(cookie) if cookie else None


def session_id() -> str | None:
    """The session by which this request came; None for one with a key."""
    found: str | None = g.get("session_id")
    return found


def sign_in(response: Response, who: Principal) -> None:
    """Begin a session, and give the browser its cookie. The session that it had before ends."""
    _end_own()
    agent = request.headers.get("User-Agent", "")
    token = sessions.begin(services().db, who.key_id, address=client_address(), agent=agent)
    _set_cookie(response, services().signer.session(token))


def sign_out(response: Response) -> None:
    """End the session of this browser, here and in the store."""
    _end_own()
    _set_cookie(response, "", ends=True)


def _end_own() -> None:
    token = _token()
    if token:
        sessions.end_by_token(services().db, token, SIGNED_OUT)


def _cookie_name() -> str:
    """With SUREFOOT_PUBLIC_URL on https, no neighbour of our host can plant a session: browsers
    guard names with `__Host-`."""
    return f"__Host-{COOKIE}" if services().settings.secure else COOKIE


def _set_cookie(response: Response, session: str, *, ends: bool = False) -> None:
    """The only place that writes the session's cookie. `ends`: take it away."""
    response.set_cookie(
        _cookie_name(),
        session,
        max_age=0 if ends else None,
        httponly=True,
        samesite="Strict",
        secure=is_secure(),
        path="/",
    )
