"""What people did, for operators."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response

from surefoot.app.access.principal import Role
from surefoot.app.store.acts import Asked
from surefoot.app.store.views.acts import acts_view
from surefoot.app.store.views.names import API
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.documented import Answer, Parameter, described
from surefoot.web.api.pages import Pages
from surefoot.web.api.shapes import acts as shapes
from surefoot.web.services import services

routes = Blueprint("acts", __name__, url_prefix=f"{API}/acts")
_TIME = {"type": "string", "format": "date-time"}
JOB = Parameter(
    "job",
    {"type": "string", "format": "uuid"},
    "Only acts about this job, including its part of a request about many letters.",
)
ACTOR = Parameter(
    "actor",
    {"type": "string", "minLength": 1, "maxLength": 128, "pattern": p.TEXT},
    "Only acts of this actor.",
)
SINCE = Parameter("since", _TIME, "Only acts from this time on.")
UNTIL = Parameter("until", _TIME, "Only acts before this time.")


@routes.get("")
@described(
    "List what people did, newest first",
    "operating",
    {
        200: Answer("A page of your tenant's acts.", shapes.ActList, ("ETag", "Link")),
        304: p.UNCHANGED,
    },
    parameters=(JOB, ACTOR, SINCE, UNTIL, p.LIMIT, p.CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input", "invalid-cursor"),
    details="Cancels, decisions, redrives, resubmissions, schedules, changes of who has a job, keys that"
    " were made or revoked: each with who, by which key, why and when. A request about many letters is"
    " one act; with `job`, its part about that job is listed. Submissions are not acts: a job's history"
    " begins with who asked for it.",
)
@needs(Role.OPERATOR)
def index() -> Response:
    requests.only_parameters("job", "actor", "since", "until", "limit", "cursor")
    since, until = requests.time_parameter("since"), requests.time_parameter("until")
    asked = Asked(
        principal().tenant_id,
        job_id=requests.id_parameter("job"),
        actor=requests.text_parameter("actor", 128),
        since=since,
        until=until,
    )
    limit = requests.limit_parameter()
    pages = Pages(
        "acts", job=asked.job_id, actor=asked.actor, since=_text(since), until=_text(until)
    )
    items, edge = acts_view(services().db, asked, after=pages.after(), limit=limit)
    return pages.answer(items, edge)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
