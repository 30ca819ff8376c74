"""The page of a job, followed live to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import assignment, decisions
from surefoot.app.engine.operators.redrive import redrive_job
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.errors import Conflict, InvalidInput, NotFound, RequestError
from surefoot.app.explain import why
from surefoot.app.rules.decisions import ACTIONS, LetterAction
from surefoot.app.rules.states import ENDED
from surefoot.app.store.ids import is_id, operation_id
from surefoot.app.store.views import (
    Revision,
    effects_view,
    history_ends,
    history_pages,
    job_view,
    job_with_letters,
)
from surefoot.app.store.views.dead_letters import letter_view
from surefoot.app.store.views.graphs import graph_view
from surefoot.app.store.views.names import short_name
from surefoot.web.api.auth import asked_by_a_page, needs, principal
from surefoot.web.dead_letter_actions import carry_out
from surefoot.web.pages.customers import for_customers
from surefoot.web.pages.drawing import HEIGHT, WIDTH, draw
from surefoot.web.pages.grouping import folded, folded_effects, groups_of
from surefoot.web.pages.once import key_of, new_key
from surefoot.web.services import services

routes = Blueprint("job", __name__, url_prefix="/jobs/<job_id>")
SAID_OF = {
    LetterAction.REDRIVE: "redriven",
    LetterAction.DISCARD: "discarded",
}  # of a letter's decisions; all others are "decided"
OWNING = {"take": assignment.take, "release": assignment.release}
REASON_CHARACTERS = 1000
PAGE_DIGITS = 6
WHY_ANEW_S = 10  # an open job's page is made anew so often although the job did not move
NO_REASON = "A decision needs a reason, on one line."
SAID = {  # what a button did, named in the address so that a link cannot put other words there
    "cancelling": "It is being cancelled; what was done is undone.",
    "too-late": "Too late to cancel: it is past the point of no return. The request is on record: it takes effect if that step fails.",
    "moved-on": "The job has moved on, so there was nothing to do.",
    "resubmitted": "This is a new job with the same input.",
    "resubmitted-already": "The earlier job was resubmitted before: this is the new job.",
    "decided": "Your decision is on record, and the job goes on.",
    "redriven": "It is redriven, with fresh attempts.",
    "discarded": "It is discarded; it stays on record.",
    "taken": "It is assigned to you.",
    "released": "It is released: it has no owner.",
}


@routes.get("")
def show(job_id: str) -> AnyResponse:
    if not is_id(job_id):
        return redirect(url_for("jobs_page.find", q=job_id), 303)  # a name, such as order-7K3F
    return make_response(
        render_template("job.html", said=SAID.get(request.args.get("said", "")), **_facts(job_id))
    )


@routes.get("/live")
@asked_by_a_page
def live(job_id: str) -> Response:
    """What changes on the page, for its script: a 304 for one statement while the job stands as it
    did.
    """
    tag = _tag(services().polls.look(job_id, principal().tenant_id))
    if request.if_none_match.contains_weak(tag):
        response = Response(status=304)
    else:
        response = make_response(render_template("_job.html", **_facts(job_id)))
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _tag(revision: Revision) -> str:
    """Of the page's live part: the job as it stands, for whom, and while it is open the time, for
    why it waits depends on others.
    """
    moment = "" if revision.ended else str(int(time.time() / WHY_ANEW_S))
    return f"{revision.tag}-{principal().role}-{moment}"


@routes.get("/steps")
def steps(job_id: str) -> Response:
    """Every step and every effect, also those that the job's page counts."""
    db, tenant_id = services().db, principal().tenant_id
    view = job_view(db, job_id, tenant_id)
    effects = effects_view(db, job_id, tenant_id)
    page = render_template(
        "steps.html",
        job=view,
        ended=view["state"] in ENDED,
        steps=view["steps"],
        effects=effects,
        effect_rows=effects["items"],
        flower=_flower(job_id),
    )
    return make_response(page)


@routes.get("/history")
def history(job_id: str) -> Response:
    """All that happened, newest first, by pages."""
    text, tenant_id = request.args.get("page", "1"), principal().tenant_id
    if not (text.isascii() and text.isdigit() and len(text) <= PAGE_DIGITS):
        raise NotFound("The history does not have this page.")
    job = job_view(services().db, job_id, tenant_id)
    found = history_pages(services().db, job_id, tenant_id, int(text))
    return make_response(render_template("history.html", job=job, history=found, page=int(text)))


@routes.post("/cancel")
def cancel(job_id: str) -> AnyResponse:
    here, who = services(), principal()
    job_view(here.db, job_id, who.tenant_id)
    try:
        decision = decisions.cancel(here.db, here.settings, job_id, who.actor)
    except Conflict:
        return _back(job_id, "moved-on")
    here.bell.publish_plan(decision.plan)
    return _back(job_id, "cancelling" if decision.applied else "too-late")


@routes.post("/redrive")
@needs(Role.OPERATOR)
def redrive(job_id: str) -> AnyResponse:
    here, who = services(), principal()
    job_view(here.db, job_id, who.tenant_id)
    asked = Asked(who.actor, _reason(), key_of(request.form))
    try:
        done = redrive_job(here.entrance, job_id, asked)
    except InvalidInput as error:
        raise RequestError(NO_REASON) from error
    except Conflict:
        return _back(job_id, "moved-on")
    here.bell.publish_plan(done.plan)
    return _back(job_id, "redriven")


@routes.post("/resubmit")
def resubmit(job_id: str) -> AnyResponse:
    here, who = services(), principal()
    job_view(here.db, job_id, who.tenant_id)
    again = request.form.get("again") == "yes"
    asked = Asked(who.actor, _reason(), key_of(request.form), again)
    try:
        done = resubmit_job(here.entrance, job_id, asked)
    except InvalidInput as error:
        raise RequestError(NO_REASON) from error
    except Conflict as error:
        other = error.details.get("job_id")
        return _back(other, "resubmitted-already") if other else _back(job_id, "moved-on")
    here.bell.publish_plan(done.plan)
    return _back(done.job_id, "resubmitted")


def _reason() -> str:
    """The form's reason, maybe empty. Raises: RequestError."""
    reason = request.form.get("reason", "").strip()
    if len(reason) > REASON_CHARACTERS or not reason.isprintable():
        raise RequestError(NO_REASON)
    return reason


@routes.post("/letters/<letter_id>")
@needs(Role.OPERATOR)
def decide_letter(job_id: str, letter_id: str) -> AnyResponse:
    """An operator's word about an operation that was given up."""
    here, who = services(), principal()
    if letter_view(here.db, letter_id, who.tenant_id)["job"] != job_id:
        raise NotFound("This job has no such dead letter.")
    word, reason = request.form.get("decision", ""), request.form.get("reason", "").strip()
    if word not in ACTIONS or not 1 <= len(reason) <= REASON_CHARACTERS or not reason.isprintable():
        raise RequestError(NO_REASON)
    try:
        done = carry_out(ACTIONS[word], job_id, letter_id, reason, key_of(request.form))
    except (Conflict, NotFound) as error:
        other = error.details.get("job_id")
        return _back(other, "resubmitted-already") if other else _back(job_id, "moved-on")
    return _back(done.job_id, "resubmitted" if done.anew else SAID_OF.get(ACTIONS[word], "decided"))


@routes.post("/attention")
@needs(Role.OPERATOR)
def own(job_id: str) -> AnyResponse:
    """An operator takes on a job that asks a person, or gives it up."""
    here, who = services(), principal()
    job_view(here.db, job_id, who.tenant_id)
    word = request.form.get("owner", "")
    if word not in OWNING:
        raise RequestError("Say take or release.")
    try:
        OWNING[word](here.db, job_id, who.actor)
    except Conflict:
        return _back(job_id, "moved-on")
    return _back(job_id, "taken" if word == "take" else "released")


def _back(job_id: str, said: str) -> AnyResponse:
    return redirect(url_for("job.show", job_id=job_id, said=said), 303)


def _in_flower(job_id: str) -> Callable[[str, str], str]:
    """The address of an operation in Flower: an operation's id is its Celery task's."""
    return lambda step, kind: (
        f"{services().settings.flower_url}/task/{operation_id(job_id, step, '', kind)}"
    )


def _facts(job_id: str) -> dict[str, Any]:
    db, tenant_id = services().db, principal().tenant_id
    view, letters = job_with_letters(db, job_id, tenant_id)
    told = why(db, job_id, tenant_id)
    if not principal().may(Role.OPERATOR):
        told = for_customers(told)
    graph = graph_view(db, job_id, tenant_id)
    groups = groups_of(graph)
    shown_graph, steps = folded(graph, view["steps"], groups)
    effects = effects_view(db, job_id, tenant_id)
    return {
        "job": view,
        "ended": view["state"] in ENDED,
        "resubmission": short_name(view["saga"], view["resubmitted_as"])
        if view["resubmitted_as"]
        else None,
        "key": new_key(),
        "why": told,
        "letters": letters,
        "may_decide": principal().may(Role.OPERATOR),
        "effects": effects,
        "effect_rows": folded_effects(effects["items"], groups),
        "steps": steps,
        "grouped": bool(groups),
        "history": history_ends(db, job_id, tenant_id),
        "drawing": draw(shown_graph, steps),
        "box": (WIDTH, HEIGHT),
        "flower": _flower(job_id),
    }


def _flower(job_id: str) -> Callable[[str, str], str] | None:
    wanted = services().settings.flower_url and principal().may(Role.OPERATOR)
    return _in_flower(job_id) if wanted else None
