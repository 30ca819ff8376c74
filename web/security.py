"""Headers that keep a browser from being turned against us, and the check that a change came from
our own pages.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from surefoot.web.api.problems import Problem
from surefoot.web.services import services

# No inline script or style at all: everything is our own file. Pages may connect to this server
# only.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SAFE = ("GET", "HEAD", "OPTIONS")
HSTS = "max-age=31536000"  # a year; of this host alone: others are not ours to bind


def install(app: Flask) -> None:
    app.after_request(_headers)


def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    if services().settings.secure:
        response.headers["Strict-Transport-Security"] = HSTS
    return response


def check_origin() -> None:
    """For a change that rests on a cookie.

    A browser says where it comes from; a client that says nothing is not a browser and has no
    cookie of somebody else's to misuse.

    Raises: Problem 403.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None:  # browsers of before 2023 say only the origin
        from_here = origin is None or _is_ours(origin)
    else:  # our own pages send no referrer, and then browsers hide the origin of a form
        hidden = origin in (None, "null")
        from_here = site in ("same-origin", "none") and (hidden or _is_ours(origin or ""))
    if not from_here:
        raise Problem("cross-origin", "This change came from another site's page.")


def _is_ours(origin: str) -> bool:
    """Whether this is our own origin: SUREFOOT_PUBLIC_URL, or what the request was sent to."""
    public_url = services().settings.public_url
    return origin == public_url if public_url else urlsplit(origin).netloc == request.host
