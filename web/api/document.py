"""The API's document (OpenAPI 3.1), made from the routes, their descriptions, the request models
and the answers' shapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from surefoot.app.errors import DefinitionError
from surefoot.app.store.views.names import API
from surefoot.web.address import ANY_HOST
from surefoot.web.api.auth import is_open, open_to_all, role_of
from surefoot.web.api.documented import Answer, Description, described, description_of
from surefoot.web.api.problem_types import KINDS
from surefoot.web.api.problems import MEDIA_TYPE
from surefoot.web.api.shapes.problems import Problem
from surefoot.web.kept import Kept
from surefoot.web.rates import UNBOUNDED
from surefoot.web.services import EXTENSION as SERVICES

routes = Blueprint("document", __name__)
EXTENSION = "surefoot.document"
OPENAPI = "3.1.0"
REF = "#/components/schemas/{model}"
SAFE = ("GET",)
ABOUT = """Long jobs that end well: each job completes, is undone, or asks a person.

Submit with an `Idempotency-Key` of your own, and send it again when in doubt: the same key and body are the same job.
Poll `links.self` as often as `Retry-After` says, with `If-None-Match`; or let the request wait with `Prefer: wait=10`.
The requests of a key are limited; each answer says in `RateLimit` how many are left.
Every error is a problem details object (RFC 9457) whose `type` is a page of this server. Later versions may add members:
ignore those that you do not know."""
LICENCE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
GROUPS = {
    "jobs": "Submit, follow, cancel, redrive and resubmit.",
    "effects": "Effects on services, and operators' decisions about them.",
    "dead letters": "Operations that were given up: what happened; redrive or discard them.",
    "sagas": "Definitions that can be run.",
    "operating": "For operators and load balancers.",
}
HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds until it is worth asking again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {
        "description": "The version of this answer, for `If-None-Match`.",
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "The key was used before: this is the job it made.",
        "schema": {"const": "true"},
    },
    "Preference-Applied": {
        "description": "The wait that was granted, as `wait=10`.",
        "schema": {"type": "string"},
    },
    "Link": {"description": 'The next page, `rel="next"`.', "schema": {"type": "string"}},
    "Allow": {"description": "The methods of this address.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
    "Accept-Post": {"description": "Accepted media types.", "schema": {"type": "string"}},
    "RateLimit-Policy": {
        "description": "The limit: `q` requests at once, and `q` more in every `w` seconds.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left: `r` requests; the whole limit is available again in `t` seconds.",
        "schema": {"type": "string"},
    },
    "X-Trace-Id": {
        "description": "The request's id in the server's log.",
        "schema": {"type": "string"},
    },
}
SEEN_IN = {
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After", "RateLimit-Policy", "RateLimit"),
    "503": ("Retry-After",),
}
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "job_id": {"description": "The job's id.", "schema": {"type": "string", "format": "uuid"}},
    "letter_id": {
        "description": "The dead letter's id.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "finding_id": {
        "description": "The finding's id.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "step": {
        "description": "The step's name.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
    "message_id": {
        "description": "The message's id in quarantine.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "name": {
        "description": "The saga's name.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
}
# Problems of every route of a sort.
ALWAYS = ("internal-error",)
WITH_HOST = ("misdirected",)
WITH_RATE = ("too-many-requests",)
WITH_KEY = ("unauthorized", "unavailable")
WITH_CHANGE = ("cross-origin", "bad-request")
WITH_BODY = (
    "malformed-json",
    "length-required",
    "too-large",
    "unsupported-media-type",
    "invalid-input",
)
_ARGUMENT = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


@routes.get(f"{API}/openapi.json")
@open_to_all
@described(
    "This document",
    "operating",
    {200: Answer("OpenAPI 3.1.", None, ("ETag",)), 304: Answer("Not modified.")},
)
def show() -> Response:
    kept: Kept = current_app.extensions[EXTENSION][1]
    return kept.answer()


def install(app: Flask) -> None:
    """Make the document of every route that has been registered. Raises: DefinitionError for an API
    route without description.
    """
    whole = document(app)
    raw = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    app.extensions[EXTENSION] = (whole, Kept.of(raw, "application/json"))


def the_document() -> dict[str, Any]:
    """The document of the application that serves this request."""
    found: dict[str, Any] = current_app.extensions[EXTENSION][0]
    return found


def document(app: Flask) -> dict[str, Any]:
    operations = list(_operations(app))
    schemas, refs = _schemas([said for _, _, _, said in operations])
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, view, said in operations:
        paths.setdefault(_ARGUMENT.sub(r"{\1}", rule.rule), {})[method.lower()] = _operation(
            rule, method, view, said, refs
        )
    _link_jobs(paths)
    public_url = app.extensions[SERVICES].settings.public_url
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Surefoot",
            "version": _version(),
            "description": ABOUT,
            "license": LICENCE,
        },
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": name, "description": text} for name, text in GROUPS.items()],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `sf_` and 43 characters, or the operator's own.",
                }
            },
        },
    }


def _link_jobs(paths: dict[str, dict[str, Any]]) -> None:
    """From every answer that is a job to what can be asked about it next, and done with it."""
    links = {
        said["operationId"]: {
            "operationId": said["operationId"],
            "parameters": {"job_id": "$response.body#/id"},
        }
        for path, methods in paths.items()
        for said in methods.values()
        if re.findall(r"{(\w+)}", path) == ["job_id"]
    }
    job = {"$ref": REF.format(model="Job")}
    for methods in paths.values():
        for said in methods.values():
            for answer in said["responses"].values():
                if answer.get("content", {}).get("application/json", {}).get("schema") == job:
                    answer["links"] = links


def _operations(app: Flask) -> Iterator[tuple[Rule, str, Callable[..., Any], Description]]:
    """Every described route with its methods, in the order of registration."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        said = description_of(view)
        if said is None:
            if rule.rule.startswith("/api/"):
                raise DefinitionError(
                    f"the route {rule.rule} has no description: say @described beside it"
                )
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, view, said


def _operation(
    rule: Rule,
    method: str,
    view: Callable[..., Any],
    said: Description,
    refs: dict[type[BaseModel], Any],
) -> dict[str, Any]:
    role = role_of(view)
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": said.summary,
        "tags": [said.group],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}
                for name in _ARGUMENT.findall(rule.rule)
            ),
            *(
                {"name": p.name, "in": p.place, "description": p.description, "schema": p.schema}
                for p in said.parameters
            ),
        ],
        "responses": _answers(said, refs) | _problems(_slugs(rule, method, view, said)),
    }
    details = " ".join(
        part for part in (said.details, f"Needs the role {role}." if role else "") if part
    )
    if details:
        operation["description"] = details
    if said.body is not None:
        operation["requestBody"] = {
            "required": said.body_wanted,
            "content": {"application/json": {"schema": refs[said.body]}},
        }
    if is_open(view):
        operation["security"] = []
    return operation


def _slugs(rule: Rule, method: str, view: Callable[..., Any], said: Description) -> set[str]:
    slugs = {*ALWAYS, *said.problems}
    slugs.update(WITH_HOST if rule.endpoint not in ANY_HOST else ())
    slugs.update(WITH_RATE if rule.endpoint not in UNBOUNDED else ())
    if not is_open(view):
        slugs.update(WITH_KEY)
        slugs.update(WITH_CHANGE if method not in SAFE else ())
    if role_of(view):
        slugs.add("forbidden")
    if rule.arguments:
        slugs.add("not-found")
    if said.body is not None:
        slugs.update(WITH_BODY)
    return slugs


def _answers(said: Description, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, answer in said.answers.items():
        one: dict[str, Any] = {
            "description": answer.description,
            "headers": _headers(("X-Trace-Id", *answer.headers)),
        }
        if answer.shape is not None:
            one["content"] = {answer.media_type: {"schema": refs[answer.shape]}}
        elif status != 304:
            kind = "object" if answer.media_type == "application/json" else "string"
            one["content"] = {answer.media_type: {"schema": {"type": kind}}}
        found[str(status)] = one
    return found


def _problems(slugs: set[str]) -> dict[str, Any]:
    """One answer for each status, which names the kinds that have it."""
    of_status: dict[str, list[str]] = {}
    for slug in sorted(slugs):
        of_status.setdefault(str(KINDS[slug].status), []).append(slug)
    return {
        status: {
            "description": "; ".join(f"`{slug}`: {KINDS[slug].title}" for slug in named),
            "headers": _headers(
                (
                    "X-Trace-Id",
                    *SEEN_IN.get(status, ()),
                    *(("Accept-Post",) if status == "415" else ()),
                )
            ),
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
        }
        for status, named in sorted(of_status.items())
    }


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _schemas(said: list[Description]) -> tuple[dict[str, Any], dict[type[BaseModel], Any]]:
    """Components by name, and the reference of each model that a route names."""
    taken = {one.body for one in said if one.body is not None}
    given = {
        answer.shape for one in said for answer in one.answers.values() if answer.shape is not None
    } | {Problem}
    wanted = [(model, "validation") for model in taken] + [
        (model, "serialization") for model in given
    ]
    wanted.sort(key=lambda one: one[0].__name__)
    return _schemas_of(tuple(wanted))


@cache
def _schemas_of(
    wanted: tuple[tuple[type[BaseModel], str], ...],
) -> tuple[dict[str, Any], dict[type[BaseModel], Any]]:
    """Worked out once for all applications of a process: most of the time that one needs to start."""
    of_model, whole = models_json_schema(wanted, ref_template=REF)  # type: ignore[arg-type]
    refs: dict[type[BaseModel], Any] = {model: ref for (model, _), ref in of_model.items()}  # type: ignore[misc]
    return dict(sorted(whole["$defs"].items())), refs


def _version() -> str:
    try:
        return version("surefoot")
    except PackageNotFoundError:
        return "0"
