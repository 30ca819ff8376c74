"""The list of jobs with its filters, and the search for one by its name."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.store.views import jobs_called, list_jobs
from app.store.views.called import SHORTEST_START
from app.store.views.sagas import saga_names
from web.api.auth import principal
from web.api.pages import Pages
from web.door import door
from web.pages.asked import NAME_CHARACTERS, Asked, asked

routes = Blueprint("jobs_page", __name__)
PAGE_ROWS = 50
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
STATES = BADGES | {"pending": "pending", "failed": "failed"}  # the API's words are understood, too
HOW_NAMED = (
    "A job is found by its name, such as order-7K3F, by its whole id, or by the first"
    f" {SHORTEST_START} characters of its id."
)


@routes.get("/jobs")
def index() -> AnyResponse:
    """Every job of the tenant, newest first, by pages; as the API's list, with its filters."""
    sagas = saga_names(door().db)
    chosen = asked({"state": STATES, "saga": sagas, "tag": None})
    if chosen.faults:
        return _page(chosen, sagas, [], 400)
    filters = chosen.filters | (
        {"state": STATES[chosen.filters["state"]]} if "state" in chosen.filters else {}
    )
    pages = Pages("jobs", **filters)
    jobs, edge = list_jobs(
        door().db, principal().tenant_id, **filters, after=pages.after(), limit=PAGE_ROWS
    )
    following: dict[str, Any] = {**chosen.filters, "cursor": pages.cursor(edge)}
    return _page(
        chosen, sagas, jobs, older=url_for("jobs_page.index", **following) if edge else None
    )


@routes.get("/find")
def find() -> AnyResponse:
    """The job that is named leads to its page; several of one name are a list."""
    said = request.args.get("q", "").strip()[:NAME_CHARACTERS]
    found = jobs_called(door().db, said, principal().tenant_id)
    if len(found) == 1:
        return redirect(url_for("job.show", job_id=found[0]["id"]), 303)
    page = render_template("found.html", jobs=found, sought=said, how=HOW_NAMED)
    return make_response(page, 200 if found or not said else 404)


def _page(
    chosen: Asked,
    sagas: list[str],
    jobs: list[dict[str, Any]],
    status: int = 200,
    *,
    older: str | None = None,
) -> Response:
    page = render_template(
        "jobs.html",
        jobs=jobs,
        older=older,
        first="cursor" not in request.args,
        asked=chosen.filters,
        faults=chosen.faults,
        states=[
            *BADGES,
            *(
                [chosen.filters["state"]]
                if chosen.filters.get("state") in STATES.keys() - BADGES
                else []
            ),
        ],
        sagas=sagas,
    )
    return make_response(page, status)
