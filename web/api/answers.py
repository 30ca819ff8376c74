"""Answers in JSON: tags for polling, links to the next page, when to ask again, and how long to hold a request."""

from __future__ import annotations

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from app.rules.states import ENDED
from app.store.views import job_view
from web.door import door

WAIT_MOST_S = 10
LOOK_EVERY_S = 0.1
AGES = ((5, 1), (30, 2), (120, 5))  # a job younger than so many seconds is worth asking again after so many
_WAIT = re.compile(r"^wait\s*=\s*\"?(\d{1,9})\"?$")


def answer(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer. A GET's carries a strong tag of its bytes, and is a 304 for who has them already."""
    raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
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


def job_answer(view: dict[str, Any], status: int, *, replayed: bool = False, waited: int | None = None) -> Response:
    """A job, with when to ask again while it is not final."""
    headers = {"Vary": "Prefer"}
    if request.method == "POST":
        headers["Location"] = view["links"]["self"]
    if view["state"] not in ENDED:
        headers["Retry-After"] = str(_again_s(view["created_at"]))
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if waited is not None:
        headers["Preference-Applied"] = f"wait={waited}"
    return answer(view, status, headers)


def _again_s(created_at: str) -> int:
    age_s = (datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()
    return next((after for younger, after in AGES if age_s < younger), 10)


def wished_wait() -> int | None:
    """N of `Prefer: wait=N`, at most WAIT_MOST_S; None when nobody wishes to wait. What cannot be read is no wish (RFC 7240)."""
    for header in request.headers.getlist("Prefer"):
        for preference in header.split(","):
            found = _WAIT.match(preference.split(";")[0].strip().lower())
            if found:
                return min(int(found.group(1)), WAIT_MOST_S)
    return None


def job_when_ended(job_id: str, tenant_id: str) -> tuple[dict[str, Any], int | None]:
    """The job's view, held back as long as the request wishes and the job has not ended.

    Returns: (view, seconds that were granted; None when none were wished, or every place to wait was taken).
    """
    here = door()
    view = job_view(here.db, job_id, tenant_id)
    wish = wished_wait()
    if wish is None or not here.waiters.acquire(blocking=False):
        return view, None
    try:
        until = time.monotonic() + wish
        while view["state"] not in ENDED and (left := until - time.monotonic()) > 0:
            time.sleep(min(LOOK_EVERY_S, left))
            view = job_view(here.db, job_id, tenant_id)
    finally:
        here.waiters.release()
    return view, wish
