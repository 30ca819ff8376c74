"""Semantic locks, for operators."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from app.access.principal import Role
from app.store.views import locks_view
from app.store.views.locks import PAGE_KEYS
from app.store.views.names import API
from web.api import parameters as p
from web.api import requests
from web.api.auth import needs, principal
from web.api.described import Answer, described
from web.api.pages import Pages
from web.api.shapes import locks as shapes
from web.door import door

EPOCH = datetime.fromtimestamp(0, UTC)  # cursors carry a time, and this list does not go by one
routes = Blueprint("locks", __name__, url_prefix=f"{API}/locks")


@routes.get("")
@described(
    "List semantic locks",
    "operating",
    {
        200: Answer(
            "A page of the keys that your jobs hold or wait for, those of the oldest job first.",
            shapes.LockList,
            ("ETag", "Link"),
        ),
        304: p.UNCHANGED,
    },
    parameters=(p.limit(PAGE_KEYS), p.CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input", "invalid-cursor"),
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters("limit", "cursor")
    limit, pages = requests.limit_parameter(PAGE_KEYS), Pages("locks")
    page = locks_view(door().db, principal().tenant_id, after=pages.after_id() or "", limit=limit)
    following = page["next"]
    return pages.answer(page["items"], (EPOCH, following) if following else None)
