"""The same problems, dressed for a browser."""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from web.api.kinds import KINDS
from web.api.problems import Problem, body_of


def wants_page() -> bool:
    """Whether a person's browser asked. The API answers programs only, whatever they say they accept."""
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def as_page(problem: Problem) -> Response | None:
    """The page of a problem; None when a program asked."""
    if not wants_page():
        return None
    page = render_template("problem.html", problem=body_of(problem), kind=KINDS[problem.slug], slug=problem.slug)
    response = make_response(page, problem.status)
    response.headers.update(problem.headers)
    if problem.status in (429, 503):
        response.headers.setdefault("Retry-After", "5")
    return response
