"""The register of workers, for operators."""

from __future__ import annotations

from flask import Blueprint, Response

from app.access.principal import Role
from app.store.views import workers_view
from app.store.views.names import API
from web.api.answers import answer
from web.api.auth import needs
from web.door import door

routes = Blueprint("workers", __name__, url_prefix=f"{API}/workers")


@routes.get("")
@needs(Role.OPERATOR)
def index() -> Response:
    return answer(workers_view(door().db))
