"""The same problems, dressed for a browser."""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from surefoot.web.api.problem_types import KINDS
from surefoot.web.api.problems import Problem, body_of
from surefoot.web.pages.home import unsent

PASSING = (429, 503)  # what is over in a while
AGAIN_S = 5  # after which such a page loads itself again


def wants_page() -> bool:
    """Whether a person's browser asked.

    The API answers programs only, whatever they say they accept.
    """
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def as_page(problem: Problem) -> Response | None:
    """The page of a problem; None when a program asked."""
    if not wants_page():
        return None
    response = (
        unsent(problem) if request.endpoint == "home.submit" and problem.status in PASSING else None
    )
    response = response or make_response(_page(problem), problem.status)
    response.headers.update(problem.headers)
    if problem.status in PASSING:
        response.headers.setdefault("Retry-After", str(AGAIN_S))
    return response


def _page(problem: Problem) -> str:
    passing = problem.status in PASSING
    asked = request.full_path.removesuffix("?") if request.method == "GET" else None
    return render_template(
        "problem.html",
        problem=body_of(problem),
        kind=KINDS[problem.slug],
        said=problem.for_people(),
        passing=passing,
        again=asked,
        again_s=AGAIN_S if passing and asked else None,
    )
