"""Messages that nobody can run, for operators."""

from __future__ import annotations

from flask import Blueprint, Response, request

from surefoot.app.access.principal import Role
from surefoot.app.store.views.names import API
from surefoot.app.store.views.quarantine import discard_message, message_view, quarantine_view
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import needs, principal, tenant_seen
from surefoot.web.api.documented import Answer, Parameter, described
from surefoot.web.api.pages import Pages
from surefoot.web.api.responses import answer
from surefoot.web.api.shapes import quarantine as shapes
from surefoot.web.body import read_json
from surefoot.web.services import services

routes = Blueprint("quarantine", __name__, url_prefix=f"{API}/quarantine")
STATE = Parameter(
    "state", {"enum": ["kept", "discarded"], "default": "kept"}, "Only messages in this state."
)


@routes.get("")
@described(
    "List quarantined messages, newest first",
    "operating",
    {200: Answer("A page of messages.", shapes.QuarantineList, ("ETag", "Link")), 304: p.UNCHANGED},
    parameters=(STATE, p.LIMIT, p.CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input", "invalid-cursor"),
    details="Operators see messages that name a job of their tenant; keys with the role platform see all.",
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters("state", "limit", "cursor")
    state, limit = (
        requests.choice_parameter("state", ("kept", "discarded")),
        requests.limit_parameter(),
    )
    discarded = state == "discarded"
    pages = Pages("quarantine", discarded=discarded)
    items, edge = quarantine_view(
        services().db, tenant_seen(), discarded=discarded, after_id=pages.after_id(), limit=limit
    )
    return pages.answer(items, edge)


@routes.get("/<message_id>")
@described(
    "Read a quarantined message, with headers and the start of its body",
    "operating",
    {200: Answer("The message.", shapes.QuarantinedMessage, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.IF_NONE_MATCH,),
)
@needs(Role.OPERATOR)
def show(message_id: str) -> Response:
    return answer(message_view(services().db, message_id, tenant_seen()))


@routes.post("/<message_id>/discard")
@described(
    "Discard a quarantined message; it stays on record",
    "operating",
    {202: Answer("The message.", shapes.QuarantinedMessage)},
    body=requests.Reason,
    problems=("conflict",),
)
@needs(Role.OPERATOR)
def discard(message_id: str) -> Response:
    here = services()
    message_view(here.db, message_id, tenant_seen())
    reason = requests.checked(requests.Reason, read_json(request, here.settings.body_bytes)).reason
    discard_message(here.db, message_id, tenant_seen(), principal().actor, reason)
    return answer(message_view(here.db, message_id, tenant_seen()), 202)
