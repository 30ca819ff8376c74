"""The first page: a form that makes a job, and the newest jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from surefoot.app.errors import AboveLimit, InvalidInput, KeyReused, NotFound
from surefoot.app.saga.inputs import validate_input
from surefoot.app.store.views import list_jobs, saga_view, sagas_view
from surefoot.app.texts import to_utf8
from surefoot.web.accept import accept
from surefoot.web.api.auth import asked_by_a_page, principal
from surefoot.web.api.problems import Problem
from surefoot.web.api.responses import tagged
from surefoot.web.pages.forms import PREFIX, Field, faulty, fields_of, filled, read_input
from surefoot.web.pages.once import key_of, new_key
from surefoot.web.services import services

routes = Blueprint("home", __name__)
RECENT = 12
CARRIED_CHARACTERS = 64 * 1024  # of a form that goes through the sign-in
PREFERRED = "order"


@routes.get("/")
def show() -> Response:
    return _page(_chosen(request.args.get("saga")))


@routes.get("/recent")
@asked_by_a_page
def recent() -> Response:
    """The list alone, for the page's script."""
    raw = to_utf8(render_template("_recent.html", jobs=_recent()))
    return tagged(make_response(raw), raw)


@routes.post("/jobs")
def submit() -> AnyResponse:
    saga = _chosen(request.form.get("saga"))
    if saga is None:
        raise NotFound("No saga is known yet.")
    fields = fields_of(saga["name"], saga["input"])
    value, faults = read_input(fields, request.form)
    fields = filled(fields, request.form)
    key = key_of(request.form) or new_key()
    try:
        if faults:
            raise InvalidInput(faults=_all_of_them(saga, value, faults))
        done = accept(principal(), saga["name"], value, key=key)
    except InvalidInput as error:
        marked, others = faulty(fields, error.faults)
        return _page(saga, marked, others or ([] if error.faults else [error.message]), key, 422)
    except AboveLimit as error:
        limit = {
            "pointer": str(error.details.get("pointer", "")),
            "detail": f"must be at most {error.details.get('limit')}",
        }
        marked, others = faulty(fields, [limit])
        return _page(saga, marked, others, key, 422)
    except KeyReused as error:
        said = "This form was submitted before, with other values. Submit it again for another job."
        return _page(saga, fields, [said], None, 422, made=error.details.get("job_id"))
    return redirect(url_for("job.show", job_id=done.job_id), 303)


def carried(form: Mapping[str, str]) -> dict[str, str]:
    """What is drawn again of a form that was not taken: no secrets, nothing of a large one."""
    saga = _chosen(form.get("saga"))
    if (
        saga is None
        or sum(len(name) + len(value) for name, value in form.items()) > CARRIED_CHARACTERS
    ):
        return {}
    fields = [field for field in fields_of(saga["name"], saga["input"]) if not field.secret]
    names = {PREFIX + field.name for field in fields}
    kept = {name: value for name, value in form.items() if name in names}
    key = key_of(form)
    return {"saga": saga["name"], **({"key": key} if key else {}), **kept}


def filled_again(form: Mapping[str, str]) -> Response:
    """The form as `carried` has it, to be looked at and sent."""
    saga = _chosen(form.get("saga"))
    fields = filled(fields_of(saga["name"], saga["input"]), form) if saga else []
    secrets = ", ".join(field.label for field in fields if field.secret)
    said = "You are signed in again. Nothing was sent yet: press Start to send it."
    return _page(
        saga, fields, [said + (f" Type again: {secrets}." if secrets else "")], key_of(form)
    )


def unsent(problem: Problem) -> Response | None:
    """The form of a request that could not be taken now, as it was filled. It asks no store.

    None where that code is not here: then the page of the problem is all there is.
    """
    registry = services().registry
    found = registry.get(request.form.get("saga", "")) if registry else None
    if found is None:
        return None
    fields = filled(fields_of(found.name, found.input_schema), request.form)
    page = render_template(
        "home.html",
        saga={"name": found.name},
        sagas=[],
        fields=fields,
        prefix=PREFIX,
        faults=[f"{problem.for_people()} Nothing was sent: press Start again in a moment."],
        wrong=[],
        made=None,
        key=key_of(request.form) or new_key(),
        jobs=None,
        example="{}",
    )
    return make_response(page, problem.status)


def _all_of_them(
    saga: dict[str, Any], value: dict[str, Any], faults: list[dict[str, str]]
) -> list[dict[str, str]]:
    """What cannot be read, and what does not fit among the rest: nobody likes to be told one thing
    at a time.
    """
    told = {fault["pointer"] for fault in faults}
    try:
        validate_input(saga["input"], None, value)
    except InvalidInput as error:
        return faults + [fault for fault in error.faults if fault["pointer"] not in told]
    except AboveLimit:
        pass  # that is asked when the rest fits
    return faults


def _chosen(name: str | None) -> dict[str, Any] | None:
    """The saga of the form: the one asked for, else the model one, else the first.

    None while none is known.
    """
    names = [item["name"] for item in sagas_view(services().db)["items"]]
    if not names:
        return None
    if name is None or name not in names:
        name = PREFERRED if PREFERRED in names else str(names[0])
    return saga_view(services().db, name, services().own_digest(name))


def _recent() -> list[dict[str, Any]]:
    return list_jobs(services().db, principal().tenant_id, limit=RECENT)[0]


def _page(
    saga: dict[str, Any] | None,
    fields: list[Field] | None = None,
    faults: list[str] | None = None,
    key: str | None = None,
    status: int = 200,
    made: str | None = None,
) -> Response:
    shown = fields if fields is not None else fields_of(saga["name"], saga["input"]) if saga else []
    page = render_template(
        "home.html",
        saga=saga,
        sagas=[item["name"] for item in sagas_view(services().db)["items"]],
        fields=shown,
        prefix=PREFIX,
        faults=faults or [],
        wrong=_wrong(shown),
        made=made,
        key=key or new_key(),
        jobs=_recent(),
        example=_example(shown),
    )
    return make_response(page, status)


def _wrong(fields: list[Field]) -> list[tuple[str, Field]]:
    """(id on the page, field) of each field with a fault."""
    return [(f"f-{place}", field) for place, field in enumerate(fields, 1) if field.fault]


def _example(fields: list[Field]) -> str:
    """The input that the form shows when it is drawn, as JSON for the commands."""
    found, _ = read_input(fields, {PREFIX + field.name: field.value for field in fields})
    return json.dumps(found)
