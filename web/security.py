"""Headers that keep a browser from being turned against us, and the check that a change came from our own pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from web.api.problems import Problem

# No inline script or style at all: everything is a file of ours. Pages may talk to us and to nobody else.
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


def install(app: Flask) -> None:
    app.after_request(_headers)


def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def check_origin() -> None:
    """For a change that rests on a cookie. A browser says where it comes from; what says nothing is no browser and has no
    cookie of somebody else's to misuse.

    Raises: Problem 403.
    """
    if request.method in SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    by_origin = origin is None or urlsplit(origin).netloc == request.host  # browsers of before 2023 say only this
    if not (by_origin if site is None else site in ("same-origin", "none")):
        raise Problem("cross-origin", "This change came from another site's page.")
