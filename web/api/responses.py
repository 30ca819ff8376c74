"""Answers in JSON: tags for polling, links to the next page, when to ask again, and how long to
hold a request.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from surefoot.app.rules.states import ENDED
from surefoot.app.store.views import Revision
from surefoot.app.texts import json_bytes
from surefoot.web.services import services

WAIT_MOST_S = 10
LOOK_EVERY_S = 0.1
AGES = (
    (5, 1),
    (30, 2),
    (120, 5),
)  # a job younger than so many seconds is worth asking again after so many
_WAIT = re.compile(r"^wait\s*=\s*\"?(\d{1,9})\"?$")


def answer(
    body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer. A GET's carries a strong tag of its bytes, and is a 304 for who has them
    already.
    """
    raw = json_bytes(body)
    response = Response(raw, status=status, mimetype="application/json", headers=headers)
    if request.method in ("GET", "HEAD") and status == 200:
        return tagged(response, raw)
    response.headers["Cache-Control"] = "no-store"
    return response


def tagged(response: Response, raw: bytes) -> Response:
    response.set_etag(hashlib.sha256(raw).hexdigest()[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def job_answer(
    view: dict[str, Any],
    status: int,
    *,
    replayed: bool = False,
    waited: int | None = None,
    tag: str | None = None,
) -> Response:
    """A job, with when to ask again while it is not final. `tag`: of its revision, for a GET."""
    headers = {"Vary": "Prefer", **_job_headers(view["state"], view["created_at"], waited)}
    if request.method == "POST":
        headers["Location"] = view["links"]["self"]
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    raw = json_bytes(view)
    response = Response(raw, status=status, mimetype="application/json", headers=headers)
    if tag is not None:
        response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache" if tag is not None else "no-store"
    return response


def unchanged_job(revision: Revision, waited: int | None) -> Response:
    """For a caller that has the job as it is: a 304."""
    headers = {"ETag": f'"{revision.tag}"', "Vary": "Prefer", "Cache-Control": "private, no-cache"}
    return Response(
        status=304, headers=headers | _job_headers(revision.state, revision.created_at, waited)
    )


def _job_headers(state: str, created_at: str, waited: int | None) -> dict[str, str]:
    headers = {} if state in ENDED else {"Retry-After": str(_again_s(created_at))}
    return headers if waited is None else headers | {"Preference-Applied": f"wait={waited}"}


def _again_s(created_at: str) -> int:
    age_s = (datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()
    return next((after for younger, after in AGES if age_s < younger), 10)


def wished_wait() -> int | None:
    """N of `Prefer: wait=N`, at most WAIT_MOST_S; None without it. An unreadable value is ignored
    (RFC 7240).
    """
    for preference in request.headers.get("Prefer", "").split(
        ","
    ):  # several headers of a name arrive as one
        found = _WAIT.match(preference.split(";")[0].strip().lower())
        if found:
            return min(int(found.group(1)), WAIT_MOST_S)
    return None


def wait_for_end(look: Callable[[], Revision]) -> int | None:
    """Hold the request as long as it wishes and the job has not ended; `look` is asked ten times a
    second.

    Returns: seconds that were granted; None when none were wished, or too many requests wait
    already: then it is answered at once, and its Retry-After says when to ask again.
    """
    here, wish = services(), wished_wait()
    if wish is None or not here.waiters.acquire(blocking=False):
        return None
    try:
        until = time.monotonic() + wish
        while not look().ended and (left := until - time.monotonic()) > 0:
            time.sleep(min(LOOK_EVERY_S, left))
    finally:
        here.waiters.release()
    return wish
