"""Exception -> status and problem details (RFC 9457): the only place. Each type is a page under
/problems/.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, g, request
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from surefoot.app import errors as e
from surefoot.app.store.session import map_error
from surefoot.app.store.views.names import API
from surefoot.web.api.problem_types import KINDS, OF_STATUS

log = structlog.get_logger("surefoot.web")
FAULTS_MOST = (
    50  # that one answer names; a caller with a hundred thousand faults does not need them all
)
FOR_PEOPLE = {
    "unavailable": "Surefoot cannot be reached at the moment.",
    "too-many-requests": "There are too many requests at the moment.",
    "unauthorized": "You are not signed in.",
}
MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is a problem. `facts` are extension members of its body; `status` where it is
    not the kind's own.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        status: int | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail)
        self.slug, self.detail, self.headers, self.facts = slug, detail, headers or {}, facts
        self.status = status or KINDS[slug].status

    def for_people(self) -> str:
        """What went wrong, without words that only a program needs."""
        return FOR_PEOPLE.get(self.slug, self.detail)


def problem_of(error: Exception) -> Problem:
    """What an exception is to the caller. Anything unknown is a 500 that says nothing of its
    inside.
    """
    if isinstance(error, DBAPIError):
        error = map_error(error)
    if isinstance(error, Problem):
        return error
    if isinstance(error, e.SurefootError):
        return _of_ours(error)
    if isinstance(error, HTTPException):
        return _of_werkzeug(error)
    return Problem(
        "internal-error", "Something went wrong here; the log has it under this trace_id."
    )


def _of_ours(error: e.SurefootError) -> Problem:
    said = sentence(error.message)
    match error:
        case e.InvalidInput():
            return Problem("invalid-input", said, errors=error.faults[:FAULTS_MOST])
        case e.AboveLimit():
            return Problem("above-limit", said, **_faults(error))
        case e.UnknownSaga():
            return Problem("unknown-saga", said, errors=[{"pointer": "/saga", "detail": said}])
        case e.KeyReused():
            return Problem("key-reused", said, **_job(error))
        case e.NotFound():
            return Problem("not-found", said)
        case e.Conflict():
            return Problem("conflict", said, **_job(error))
        case e.NotAllowed():
            return Problem("forbidden", said)
        case e.RequestError():
            return Problem("bad-request", said)
        case e.TryLater():
            slug = "too-many-requests" if isinstance(error, e.TooManyOpenJobs) else "unavailable"
            return Problem(
                slug, said, headers={"Retry-After": str(max(1, round(error.retry_after_s)))}
            )
        case e.UnreadableDefinition():
            return Problem("unavailable", said)
    return Problem(
        "internal-error", "Something went wrong here; the log has it under this trace_id."
    )


def _job(error: e.SurefootError) -> dict[str, Any]:
    """The job that stands in the way, or has the answer."""
    job = error.details.get("job_id")
    return {"job": f"{API}/jobs/{job}"} if job else {}


def _faults(error: e.SurefootError) -> dict[str, Any]:
    faults = getattr(error, "faults", None) or error.details.get("faults")
    pointer = error.details.get("pointer")
    faults = faults or ([{"pointer": pointer, "detail": error.message}] if pointer else [])
    return {"errors": faults} if faults else {}


def _of_werkzeug(error: HTTPException) -> Problem:
    status = error.code or 500
    slug = OF_STATUS.get(status, "bad-request" if status < 500 else "internal-error")
    headers = {
        name: value
        for name, value in error.get_headers()
        if name in ("Allow", "Retry-After", "WWW-Authenticate")
    }
    said = {
        404: "There is nothing at this address.",
        405: f"This address takes only {headers.get('Allow', 'other methods')}.",
    }
    return Problem(
        slug,
        said.get(status) or error.description or f"{KINDS[slug].title}.",
        headers=headers,
        status=status,
    )


def sentence(text: str) -> str:
    """With its capital and its full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def body_of(problem: Problem) -> dict[str, Any]:
    """The members of problem details."""
    kind = KINDS[problem.slug]
    members = {
        "type": f"/problems/{problem.slug}",
        "title": kind.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    return members | {"instance": request.path, "trace_id": g.get("trace_id", "")} | problem.facts


def respond(problem: Problem) -> Response:
    """The answer of a program's request."""
    response = Response(
        json.dumps(body_of(problem)),
        status=problem.status,
        mimetype=MEDIA_TYPE,
        headers=problem.headers,
    )
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="surefoot"'
    if problem.status in (429, 503):
        response.headers.setdefault("Retry-After", "5")
    response.headers["Cache-Control"] = "no-store"
    return response


def note(error: Exception, problem: Problem) -> None:
    """Log what is our fault: where it happened, never what was in the request (a message may quote
    it).
    """
    if problem.status != 500:
        return
    where = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    log.error(
        "unexpected", error=type(error).__name__, where=where[-12:], trace_id=g.get("trace_id", "")
    )


def install(app: Flask, as_page: Callable[[Problem], Response | None]) -> None:
    """Every error of every route, unknown ones too, leaves through here. `as_page` dresses it for a
    browser that asked, else None.
    """

    def handle(error: Exception) -> Response:
        if isinstance(error, HTTPException) and (error.code or 500) < 400:
            return Response(
                error.get_response(request.environ).get_data(),
                status=error.code,
                headers=list(error.get_headers()),
            )
        problem = problem_of(error)
        note(error, problem)
        return as_page(problem) or respond(problem)

    app.register_error_handler(Exception, handle)
