"""Semantic locks, for operators."""

from __future__ import annotations

from flask import Blueprint, Response

from app.access.principal import Role
from app.store.views import locks_view
from app.store.views.locks import PAGE_KEYS
from app.store.views.names import API
from web.api import parameters as p
from web.api import requests
from web.api.answers import answer
from web.api.auth import needs, principal
from web.api.described import Answer, described
from web.api.shapes import locks as shapes
from web.door import door

routes = Blueprint("locks", __name__, url_prefix=f"{API}/locks")


@routes.get("")
@described(
    "List semantic locks",
    "operating",
    {200: Answer("A page of the keys that your jobs hold or wait for, by key.", shapes.LockList, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.limit(PAGE_KEYS), p.KEY_CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input",),
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters("limit", "cursor")
    after = requests.text_parameter("cursor", 255) or ""
    return answer(locks_view(door().db, principal().tenant_id, after=after, limit=requests.limit_parameter(PAGE_KEYS)))
