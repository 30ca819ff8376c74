"""The sagas that can be run: their input, their graph, how each step is undone."""

from __future__ import annotations

from flask import Blueprint, Response

from app.store.views import saga_view, sagas_view
from app.store.views.names import API
from web.api.answers import answer
from web.door import door

routes = Blueprint("sagas", __name__, url_prefix=f"{API}/sagas")


@routes.get("")
def index() -> Response:
    return answer(sagas_view(door().db))


@routes.get("/<name>")
def show(name: str) -> Response:
    return answer(saga_view(door().db, name))
