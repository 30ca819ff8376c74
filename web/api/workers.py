"""The register of workers, for the platform: they work for all tenants."""

from __future__ import annotations

from flask import Blueprint, Response

from surefoot.app.access.principal import Role
from surefoot.app.store.views import workers_view
from surefoot.app.store.views.names import API
from surefoot.web.api import parameters as p
from surefoot.web.api.auth import needs
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.responses import answer
from surefoot.web.api.shapes import workers as shapes
from surefoot.web.services import services

routes = Blueprint("workers", __name__, url_prefix=f"{API}/workers")


@routes.get("")
@described(
    "List workers",
    "operating",
    {
        200: Answer("The workers, last seen first.", shapes.WorkerList, ("ETag",)),
        304: p.UNCHANGED,
    },
    parameters=(p.IF_NONE_MATCH,),
)
@needs(Role.PLATFORM)
def index() -> Response:
    return answer(workers_view(services().db))
