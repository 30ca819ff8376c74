"""The sagas that can be run: their input, their graph, how each step is undone."""

from __future__ import annotations

from flask import Blueprint, Response

from surefoot.app.store.views import saga_view, sagas_view
from surefoot.app.store.views.names import API
from surefoot.web.api import parameters as p
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.responses import answer
from surefoot.web.api.shapes import sagas as shapes
from surefoot.web.services import services

routes = Blueprint("sagas", __name__, url_prefix=f"{API}/sagas")


@routes.get("")
@described(
    "List sagas",
    "sagas",
    {200: Answer("The current version of each.", shapes.SagaList, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.IF_NONE_MATCH,),
)
def index() -> Response:
    return answer(sagas_view(services().db))


@routes.get("/<name>")
@described(
    "Read a saga",
    "sagas",
    {
        200: Answer("Its input, its graph, and how each step is undone.", shapes.Saga, ("ETag",)),
        304: p.UNCHANGED,
    },
    parameters=(p.IF_NONE_MATCH,),
)
def show(name: str) -> Response:
    return answer(saga_view(services().db, name, services().own_digest(name)))
