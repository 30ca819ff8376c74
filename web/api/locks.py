"""Semantic locks, for operators."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from surefoot.app.access.principal import Role
from surefoot.app.store.views import locks_view
from surefoot.app.store.views.locks import PAGE_KEYS
from surefoot.app.store.views.names import API
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.pages import Pages
from surefoot.web.api.shapes import locks as shapes
from surefoot.web.services import services

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
    page = locks_view(
        services().db, principal().tenant_id, after=pages.after_id() or "", limit=limit
    )
    following = page["next"]
    return pages.answer(page["items"], (EPOCH, following) if following else None)
