"""Reconciliation, for operators: what was found, and a run as soon as may be."""

from __future__ import annotations

from flask import Blueprint, Response
from sqlalchemy import Connection

from app.access.principal import Role
from app.errors import Conflict
from app.store import acts, reconciliations
from app.store.acts import Act
from app.store.reconciliations import EFFECTS, LATE
from app.store.session import transaction
from app.store.views.names import API
from app.store.views.reconciliations import reconciliations_view
from web.api import parameters as p
from web.api import requests
from web.api.answers import answer
from web.api.auth import needs, principal
from web.api.described import Answer, Parameter, described
from web.api.jobs import nothing_said
from web.api.pages import Pages
from web.api.shapes import reconciliations as shapes
from web.door import door

routes = Blueprint("reconciliations", __name__, url_prefix=API)
ONLY_OPEN = Parameter("open", {"enum": ["true", "false"], "default": "true"}, "`false`: closed ones, too.")


@routes.get("/reconciliations")
@described(
    "List what reconciliation found, newest first",
    "operating",
    {200: Answer("A page of findings about your tenant's jobs.", shapes.FindingList, ("ETag", "Link")), 304: p.UNCHANGED},
    parameters=(ONLY_OPEN, p.LIMIT, p.CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input", "invalid-cursor"),
    details="Late jobs, and effects about which a service says otherwise than the account here. A finding closes by itself when the job has"
    " ended, or when a later run finds both agreeing.",
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters("open", "limit", "cursor")
    only_open, limit = requests.choice_parameter("open", ("true", "false")) != "false", requests.limit_parameter()
    pages = Pages("reconciliations", only_open=only_open)
    items, edge = reconciliations_view(door().db, principal().tenant_id, only_open=only_open, after_id=pages.after_id(), limit=limit)
    return pages.answer(items, edge)


@routes.post("/reconcile")
@described(
    "Reconcile as soon as may be",
    "operating",
    {202: Answer("The relay sees to late jobs, and a worker asks the services, each when it next looks.", shapes.Reconciling)},
    body=requests.Nothing,
    body_wanted=False,
    problems=("conflict",),
    details="What is found is listed by `GET /reconciliations`. 409 where reconciliation is switched off (SUREFOOT_RECONCILE_SECONDS=0).",
)
@needs(Role.PLATFORM)
def run() -> Response:
    nothing_said()
    here = door()
    every_s = here.settings.reconcile_seconds
    if not every_s:
        raise Conflict("reconciliation is switched off here (SUREFOOT_RECONCILE_SECONDS=0)")

    def work(tx: Connection) -> None:
        reconciliations.hasten(tx, (LATE, EFFECTS), every_s)
        acts.note(tx, principal().actor, Act("reconcile", "reconciliation", ""))

    transaction(here.db, work)
    return answer({"message": "The next rounds are due now.", "findings": f"{API}/reconciliations"}, 202)
