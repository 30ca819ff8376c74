"""Reconciliation, for operators: what was found, what is decided about it, and a run as soon as may
be.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from surefoot.app.access.principal import Role
from surefoot.app.engine.reconcile import findings
from surefoot.app.engine.reconcile.findings import UndoAsked
from surefoot.app.errors import Conflict
from surefoot.app.store import acts, reconciliations
from surefoot.app.store.acts import Act
from surefoot.app.store.reconciliations import EFFECTS, LATE
from surefoot.app.store.session import transaction
from surefoot.app.store.views.names import API
from surefoot.app.store.views.reconciliations import finding_view, reconciliations_view
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.documented import Answer, Parameter, described
from surefoot.web.api.jobs import nothing_said
from surefoot.web.api.pages import Pages
from surefoot.web.api.responses import answer
from surefoot.web.api.shapes import reconciliations as shapes
from surefoot.web.body import read_json
from surefoot.web.services import services

routes = Blueprint("reconciliations", __name__, url_prefix=API)
DECIDED = Answer("It is on record; the finding as it stands.", shapes.DecidedFinding)
CLOSED_BEFORE = "It was closed before."
ONLY_OPEN = Parameter(
    "open", {"enum": ["true", "false"], "default": "true"}, "`false`: include closed findings."
)


@routes.get("/reconciliations")
@described(
    "List findings of reconciliation, newest first",
    "operating",
    {
        200: Answer(
            "A page of findings about your tenant's jobs.", shapes.FindingList, ("ETag", "Link")
        ),
        304: p.UNCHANGED,
    },
    parameters=(ONLY_OPEN, p.LIMIT, p.CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input", "invalid-cursor"),
    details="Late jobs, and effects about which a service and the record here differ. A finding closes by itself when the job has"
    " ended, or when a later run finds both agreeing.",
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters("open", "limit", "cursor")
    only_open, limit = (
        requests.choice_parameter("open", ("true", "false")) != "false",
        requests.limit_parameter(),
    )
    pages = Pages("reconciliations", only_open=only_open)
    items, edge = reconciliations_view(
        services().db,
        principal().tenant_id,
        only_open=only_open,
        after_id=pages.after_id(),
        limit=limit,
    )
    return pages.answer(items, edge)


@routes.get("/reconciliations/<finding_id>")
@described(
    "Read a finding",
    "operating",
    {200: Answer("The finding.", shapes.Finding, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.IF_NONE_MATCH,),
)
@needs(Role.OPERATOR)
def show(finding_id: str) -> Response:
    return answer(finding_view(services().db, finding_id, principal().tenant_id))


@routes.post("/reconciliations/<finding_id>/adopt")
@described(
    "Adopt a finding: the effect is right and is not found again",
    "operating",
    {202: DECIDED},
    body=requests.Adoption,
    problems=("conflict",),
)
@needs(Role.OPERATOR)
def adopt(finding_id: str) -> Response:
    here, who = services(), principal()
    finding_view(here.db, finding_id, who.tenant_id)
    wanted = requests.checked(requests.Adoption, read_json(request, here.settings.body_bytes))
    done = findings.adopt(here.db, finding_id, who.actor, wanted.reason, wanted.job)
    return _decided(finding_id, "It is adopted." if done else CLOSED_BEFORE)


@routes.post("/reconciliations/<finding_id>/undo")
@described(
    "Undo the effect of a finding",
    "operating",
    {202: DECIDED},
    body=requests.TakeBack,
    problems=("conflict",),
    details="The decision is on record, and a worker carries it out with its next round of reconciliation, by what the saga registers"
    " for that service; what fails is tried again. 409 where nothing stands that could be undone, where reconciliation is switched off"
    " or this server lacks the saga's code: then `surefoot reconcile undo` does it.",
)
@needs(Role.OPERATOR)
def undo(finding_id: str) -> Response:
    here, who = services(), principal()
    finding_view(here.db, finding_id, who.tenant_id)
    wanted = requests.checked(requests.TakeBack, read_json(request, here.settings.body_bytes))
    every_s = _switched_on()
    if here.registry is None:
        raise Conflict(
            "this server lacks the saga's code; run `surefoot reconcile undo` where it is installed"
        )
    findings.decide_undo(
        here.db,
        here.registry,
        finding_id,
        UndoAsked(who.actor, wanted.reason, past_return=wanted.past_return),
    )
    transaction(here.db, lambda tx: reconciliations.hasten(tx, (EFFECTS,), every_s))
    return _decided(finding_id, "It is decided; a worker undoes it with its next round.")


@routes.post("/reconciliations/<finding_id>/close")
@described(
    "Close a finding that a person has handled",
    "operating",
    {202: DECIDED},
    body=requests.Reason,
    problems=("conflict",),
    details="What still disagrees is found again.",
)
@needs(Role.OPERATOR)
def close(finding_id: str) -> Response:
    here, who = services(), principal()
    finding_view(here.db, finding_id, who.tenant_id)
    reason = requests.checked(requests.Reason, read_json(request, here.settings.body_bytes)).reason
    done = findings.close(here.db, finding_id, who.actor, reason)
    return _decided(finding_id, "It is closed." if done else CLOSED_BEFORE)


def _decided(finding_id: str, message: str) -> Response:
    return answer(
        finding_view(services().db, finding_id, principal().tenant_id) | {"message": message}, 202
    )


def _switched_on() -> float:
    """How often it goes round, seconds. Raises: Conflict where it is switched off."""
    every_s = services().settings.reconcile_seconds
    if not every_s:
        raise Conflict("reconciliation is switched off here (SUREFOOT_RECONCILE_SECONDS=0)")
    return every_s


@routes.post("/reconcile")
@described(
    "Reconcile as soon as possible",
    "operating",
    {
        202: Answer(
            "The relay handles late jobs, and a worker asks the services, each with its next round.",
            shapes.Reconciling,
        )
    },
    body=requests.Nothing,
    body_wanted=False,
    problems=("conflict",),
    details="`GET /reconciliations` lists the findings. 409 if reconciliation is switched off (SUREFOOT_RECONCILE_SECONDS=0).",
)
@needs(Role.PLATFORM)
def run() -> Response:
    nothing_said()
    here, every_s = services(), _switched_on()

    def work(tx: Connection) -> None:
        reconciliations.hasten(tx, (LATE, EFFECTS), every_s)
        acts.note(tx, principal().actor, Act("reconcile", "reconciliation", ""))

    transaction(here.db, work)
    return answer(
        {"message": "The next rounds are due now.", "findings": f"{API}/reconciliations"}, 202
    )
