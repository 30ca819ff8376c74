"""What Prometheus scrapes. A key of the platform opens it: it tells of all tenants' jobs."""

from __future__ import annotations

from flask import Blueprint, Response, current_app

from surefoot.app.access.principal import Role
from surefoot.app.gauges import CONTENT_TYPE, Gauges
from surefoot.web.api.auth import needs
from surefoot.web.api.documented import Answer, described
from surefoot.web.services import services

routes = Blueprint("metrics", __name__)
EXTENSION = "surefoot_gauges"


@routes.get("/metrics")
@described(
    "Prometheus metrics",
    "operating",
    {200: Answer("Prometheus' text format 0.0.4.", None, media_type="text/plain")},
    problems=("unavailable",),
)
@needs(Role.PLATFORM)
def metrics() -> Response:
    gauges: Gauges = current_app.extensions.setdefault(
        EXTENSION, Gauges(services().db, services().settings)
    )
    return Response(gauges.text(), content_type=CONTENT_TYPE)
