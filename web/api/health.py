"""Is it alive, is it ready, how is it? Ready means the store, not the broker: without a broker a job is still accepted,
and a load balancer that took us out for it would break the promise it is meant to guard."""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Blueprint, Response

from app.delivery import broker
from app.errors import SettingsError, StoreUnavailable
from app.store import shape
from app.store.views.health import health_view
from web.api import parameters as p
from web.api.answers import answer
from web.api.auth import open_to_all
from web.api.described import Answer, described
from web.api.problems import Problem
from web.api.shapes import health as shapes
from web.door import door

routes = Blueprint("health", __name__)
BROKER_S = 0.5
KEPT_S = 2.0  # an answer about the broker is good for so long: nobody can make us ask it a thousand times a second

_asking = threading.Lock()
_said: dict[str, tuple[float, bool]] = {}


@routes.get("/livez")
@open_to_all
@described("Is this process alive", "operating", {200: Answer("It is.", shapes.Alive, ("ETag",)), 304: p.UNCHANGED})
def livez() -> Response:
    return answer({"status": "alive"})


@routes.get("/readyz")
@open_to_all
@described(
    "Is the store there and migrated",
    "operating",
    {200: Answer("It is. Of the broker this says nothing.", shapes.Ready, ("ETag",)), 304: p.UNCHANGED},
    problems=("unavailable",),
)
def readyz() -> Response:
    try:
        shape.check(door().db)
    except SettingsError as error:
        raise Problem("unavailable", error.message) from error
    return answer({"status": "ready"})


@routes.get("/healthz")
@open_to_all
@described(
    "How is it",
    "operating",
    {
        200: Answer("`degraded` when jobs are accepted and would not move.", shapes.Health, ("ETag",)),
        304: p.UNCHANGED,
        503: Answer("Jobs are not accepted.", shapes.Down, ("Retry-After",)),
    },
)
def healthz() -> Response:
    """200 while jobs are accepted, `degraded` when they would not move; 503 when they are not accepted."""
    try:
        view = health_view(door().db)
    except StoreUnavailable:
        return answer({"status": "down", "store": "unreachable"}, 503, {"Retry-After": "5"})
    body: dict[str, Any] = {"store": "ok", "broker": "ok" if _broker_answers() else "unreachable", **view}
    well = body["broker"] == "ok" and body["relay"] == "ok" and body["workers"] > 0
    return answer({"status": "ok" if well else "degraded", **body})


def _broker_answers() -> bool:
    url = door().settings.broker_url
    if not url:
        return False
    with _asking:
        asked_at, said = _said.get(url, (float("-inf"), False))
        if time.monotonic() - asked_at > KEPT_S:
            said = broker.ping(url, BROKER_S)
            _said[url] = (time.monotonic(), said)
    return said
