"""A job's effects, and an operator's word about one that could not be undone or done."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from flask import Blueprint, Response, request

from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import decisions
from surefoot.app.errors import Conflict, NotFound
from surefoot.app.rules.decisions import LetterAction
from surefoot.app.store.views import effects_view, job_view
from surefoot.app.store.views.names import API
from surefoot.web.api import parameters as p
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.requests import Reason, checked
from surefoot.web.api.responses import answer, job_answer
from surefoot.web.api.shapes import effects as shapes
from surefoot.web.body import read_json
from surefoot.web.dead_letter_actions import carry_out
from surefoot.web.services import services

routes = Blueprint("effects", __name__, url_prefix=f"{API}/jobs/<job_id>/effects")
P = ParamSpec("P")
R = TypeVar("R")


def _decision(summary: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    return described(summary, "effects", {202: p.CHANGED_JOB}, body=Reason, problems=("conflict",))


@routes.get("")
@described(
    "List a job's effects on services",
    "effects",
    {
        200: Answer("One item for each step with an effect.", shapes.Effects, ("ETag",)),
        304: p.UNCHANGED,
    },
    parameters=(p.IF_NONE_MATCH,),
)
def index(job_id: str) -> Response:
    return answer(effects_view(services().db, job_id, principal().tenant_id))


@routes.post("/<step>/redrive")
@_decision("Redrive a step: fresh attempts")
@needs(Role.OPERATOR)
def redrive(job_id: str, step: str) -> Response:
    return _decide(job_id, step, LetterAction.REDRIVE)


@routes.post("/<step>/mark-done")
@_decision("Mark a step as done by hand")
@needs(Role.OPERATOR)
def mark_done(job_id: str, step: str) -> Response:
    return _decide(job_id, step, LetterAction.MARK_DONE)


@routes.post("/<step>/waive")
@_decision("Waive a step: it will not be done")
@needs(Role.OPERATOR)
def waive(job_id: str, step: str) -> Response:
    return _decide(job_id, step, LetterAction.WAIVE)


@routes.post("/<step>/mark-absent")
@_decision("Mark a step as never happened: the job is undone")
@needs(Role.OPERATOR)
def mark_absent(job_id: str, step: str) -> Response:
    return _decide(job_id, step, LetterAction.MARK_ABSENT)


def _decide(job_id: str, step: str, action: LetterAction) -> Response:
    here, who = services(), principal()
    view = job_view(here.db, job_id, who.tenant_id)
    if step not in [one["name"] for one in view["steps"]]:
        raise NotFound("This job has no step of that name.")
    reason = checked(Reason, read_json(request, here.settings.body_bytes)).reason
    try:
        letter = decisions.letter_of(here.db, job_id, step)
    except NotFound as error:
        raise Conflict(error.message) from error
    done = carry_out(action, job_id, letter, reason)
    return job_answer(job_view(here.db, job_id, who.tenant_id) | {"message": done.message}, 202)
