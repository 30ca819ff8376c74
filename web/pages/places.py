"""The navigation in the head of every page: where one can go, and where one is."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, g, request, url_for
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from surefoot.app.access.principal import Principal, Role
from surefoot.app.errors import SurefootError
from surefoot.app.rules.states import JobState
from surefoot.app.store.views.counts import needing_person
from surefoot.web.services import services


@dataclass(frozen=True)
class Place:
    """`count`: as it is shown, "" where there is nothing to count."""

    name: str
    address: str
    here: bool
    count: str = ""


def places() -> list[Place]:
    """For the caller: without a key, only what needs none."""
    who: Principal | None = g.get("principal")
    api = Place("API", url_for("docs.show"), request.endpoint == "docs.show")
    if who is None:
        return [api]
    asking = (
        request.endpoint == "jobs_page.index" and request.args.get("state") == JobState.ATTENTION
    )
    listed = request.endpoint == "jobs_page.index" and not asking
    found = [
        Place("New job", url_for("home.show"), request.endpoint == "home.show"),
        Place("Jobs", url_for("jobs_page.index"), listed),
        Place(
            "Needs a person",
            url_for("jobs_page.index", state=JobState.ATTENTION),
            asking,
            _waiting(services().db, who.tenant_id),
        ),
    ]
    if who.may(Role.OPERATOR):
        here = request.endpoint == "letters_page.show"
        found.append(Place("Dead letters", url_for("letters_page.show"), here))
    return [*found, api]


def _waiting(db: Engine, tenant_id: str) -> str:
    """How many jobs need a person. A page about a store that is away is drawn without it."""
    try:
        count = needing_person(db, tenant_id)
        return count.shown if count.number else ""
    except (SurefootError, SQLAlchemyError):
        return ""


def install(app: Flask) -> None:
    app.jinja_env.globals.update(places=places)
