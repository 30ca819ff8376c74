"""The pages that the `type` of a problem names."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from surefoot.app.errors import NotFound
from surefoot.web.api.auth import open_to_all
from surefoot.web.api.problem_types import KINDS

routes = Blueprint("problem_pages", __name__, url_prefix="/problems")


@routes.get("/")
@open_to_all
def index() -> Response:
    return make_response(render_template("problems.html", kinds=KINDS))


@routes.get("/<slug>")
@open_to_all
def show(slug: str) -> Response:
    if slug not in KINDS:
        raise NotFound("There is no problem of that name.")
    return make_response(render_template("problems.html", kinds={slug: KINDS[slug]}, slug=slug))
