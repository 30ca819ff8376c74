"""The list of jobs with its filters, and the search for one by its name."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.app.rules.states import JobState
from surefoot.app.store.views import count_jobs, jobs_called, list_jobs
from surefoot.app.store.views.lookup import SHORTEST_START
from surefoot.app.store.views.sagas import saga_names
from surefoot.web.api.auth import principal
from surefoot.web.api.pages import Pages
from surefoot.web.pages import turning
from surefoot.web.pages.asked import NAME_CHARACTERS, Asked, asked
from surefoot.web.pages.turning import Turned, turned
from surefoot.web.services import services

routes = Blueprint("jobs_page", __name__)
BADGES = {  # a badge's word, as it stands in an address -> the state that a list is asked for
    "accepted": "pending",
    "running": "running",
    "waiting": "waiting",
    "compensating": "compensating",
    "attention": "attention",
    "completed": "completed",
    "undone": "undone",
    "undone_partly": "undone_partly",
    "cancelled": "cancelled",
}
# The API's words are understood, too.
STATES = BADGES | {str(state): str(state) for state in (JobState.PENDING, JobState.FAILED)}
HOW_NAMED = f"A job is found by its name, such as order-7K3F, by its whole id, or by the first {SHORTEST_START} characters of its id."


@routes.get("/jobs")
def index() -> AnyResponse:
    """Every job of the tenant, newest first, by pages; as the API's list, with its filters."""
    sagas = saga_names(services().db)
    chosen = asked({"state": STATES, "saga": sagas, "tag": None})
    if chosen.faults:
        return _page(chosen, sagas, [], None, 400)
    filters = dict(chosen.filters)
    if "state" in filters:
        filters["state"] = STATES[filters["state"]]
    here, tenant_id, pages = services(), principal().tenant_id, Pages("jobs", **filters)
    jobs, edge = list_jobs(
        here.db, tenant_id, **filters, after=pages.after(), limit=turning.PAGE_ROWS
    )
    total = count_jobs(here.db, tenant_id, **filters) if edge or "cursor" in request.args else None
    turn = turned(chosen.filters, len(jobs), pages.cursor(edge), total)
    return _page(chosen, sagas, jobs, turn)


@routes.get("/find")
def find() -> AnyResponse:
    """The job that is named leads to its page; several of one name are a list."""
    said = request.args.get("q", "").strip()[:NAME_CHARACTERS]
    found = jobs_called(services().db, said, principal().tenant_id)
    if len(found) == 1:
        return redirect(url_for("job.show", job_id=found[0]["id"]), 303)
    page = render_template("found.html", jobs=found, sought=said, how=HOW_NAMED)
    return make_response(page, 200 if found or not said else 404)


def _page(
    chosen: Asked,
    sagas: list[str],
    jobs: list[dict[str, Any]],
    turn: Turned | None,
    status: int = 200,
) -> Response:
    state = chosen.filters.get("state")
    states = [*BADGES, state] if state in STATES.keys() - BADGES.keys() else list(BADGES)
    page = render_template(
        "jobs.html",
        jobs=jobs,
        turn=turn,
        asked=chosen.filters,
        faults=chosen.faults,
        states=states,
        sagas=sagas,
    )
    return make_response(page, status)
