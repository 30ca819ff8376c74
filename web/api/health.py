"""Is it alive, is it ready, how is it? Ready means the store, not the broker: without a broker a
job is still accepted, and a load balancer that took us out for it would break the promise it is
meant to guard.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Blueprint, Response

from surefoot.app.delivery import trial
from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.store import schema_version
from surefoot.app.store.views.health import health_view, oldest_ready_s
from surefoot.web.api import parameters as p
from surefoot.web.api.auth import open_to_all
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.problems import Problem
from surefoot.web.api.responses import answer
from surefoot.web.api.shapes import health as shapes
from surefoot.web.services import services

routes = Blueprint("health", __name__)
BROKER_S = 0.5
Works = tuple[
    str, float
]  # what the broker does with a write; how long the oldest ready operation has waited, seconds

_asking = threading.Lock()
_said: dict[str, tuple[float, Works]] = {}  # by the store: when it was asked, and what was found


@routes.get("/livez")
@open_to_all
@described(
    "Liveness of this process",
    "operating",
    {200: Answer("It is.", shapes.Alive, ("ETag",)), 304: p.UNCHANGED},
)
def livez() -> Response:
    return answer({"status": "alive"})


@routes.get("/readyz")
@open_to_all
@described(
    "Readiness: the store answers and is migrated",
    "operating",
    {
        200: Answer("It is ready. The broker is not checked.", shapes.Ready, ("ETag",)),
        304: p.UNCHANGED,
    },
    problems=("unavailable",),
)
def readyz() -> Response:
    try:
        schema_version.check(services().db)
    except SettingsError as error:
        raise Problem("unavailable", error.message) from error
    return answer({"status": "ready"})


@routes.get("/healthz")
@open_to_all
@described(
    "How is it",
    "operating",
    {
        200: Answer(
            "`degraded`: jobs are accepted, but would not be run.", shapes.Health, ("ETag",)
        ),
        304: p.UNCHANGED,
        503: Answer("Jobs are not accepted.", shapes.Down, ("Retry-After",)),
    },
)
def healthz() -> Response:
    """200 while jobs are accepted, `degraded` when they would not move; 503 when they are not
    accepted.
    """
    try:
        view = health_view(services().db)
        broker, waited_s = _works()
    except StoreUnavailable:
        return answer({"status": "down", "store": "unreachable"}, 503, {"Retry-After": "5"})
    body: dict[str, Any] = {
        "store": "ok",
        "broker": broker,
        **view,
        "oldest_ready_seconds": round(waited_s),
    }
    manned = view["relay"] == "ok" and view["workers"] > 0 and view["idle_queues"] == 0
    well = broker == "ok" and manned and waited_s <= services().settings.health_wait_seconds
    return answer({"status": "ok" if well else "degraded", **body})


def _works() -> Works:
    """Asked once in SUREFOOT_HEALTH_SECONDS, by one request: however many come, they cost the
    broker and the store no more.
    """
    here = services()
    key, good_s = str(here.db.url), here.settings.health_seconds
    asked_at, said = _said.get(key, (float("-inf"), None))
    if said is not None and (time.monotonic() - asked_at <= good_s or _asking.locked()):
        return said
    with _asking:
        asked_at, said = _said.get(key, (float("-inf"), None))
        if said is None or time.monotonic() - asked_at > good_s:
            said = (_broker_takes(here.settings.broker_url), oldest_ready_s(here.db))
            _said[key] = (time.monotonic(), said)
        return said


def _broker_takes(url: str) -> str:
    """`ok` when it takes a write (which leaves nothing), else `refusing` or `unreachable`."""
    if not url:
        return "unreachable"
    try:
        trial.write(url, BROKER_S)
    except trial.Refused:
        return "refusing"
    except trial.Silent:
        return "unreachable"
    return "ok"
