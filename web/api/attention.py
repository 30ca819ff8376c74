"""Ownership of jobs in attention, for operators."""

from __future__ import annotations

from flask import Blueprint, Response, request

from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import assignment
from surefoot.app.store.views import job_view
from surefoot.app.store.views.names import API
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import needs, principal
from surefoot.web.api.documented import described
from surefoot.web.api.jobs import nothing_said
from surefoot.web.api.responses import job_answer
from surefoot.web.body import read_json
from surefoot.web.services import services

routes = Blueprint("attention", __name__, url_prefix=f"{API}/jobs/<job_id>/attention")


@routes.post("/take")
@described(
    "Take ownership of a job in attention",
    "jobs",
    {202: p.CHANGED_JOB},
    body=requests.Nothing,
    body_wanted=False,
    problems=("conflict",),
)
@needs(Role.OPERATOR)
def take(job_id: str) -> Response:
    _mine(job_id)
    nothing_said()
    assignment.take(services().db, job_id, principal().actor)
    return _said(job_id, "It is assigned to you.")


@routes.post("/assign")
@described(
    "Assign a job in attention",
    "jobs",
    {202: p.CHANGED_JOB},
    body=requests.Owner,
    problems=("conflict",),
)
@needs(Role.OPERATOR)
def assign(job_id: str) -> Response:
    _mine(job_id)
    owner = requests.checked(
        requests.Owner, read_json(request, services().settings.body_bytes)
    ).owner
    assignment.assign(services().db, job_id, owner, principal().actor)
    return _said(job_id, f"{owner} has it.")


@routes.post("/release")
@described(
    "Release it",
    "jobs",
    {202: p.CHANGED_JOB},
    body=requests.Nothing,
    body_wanted=False,
    problems=("conflict",),
)
@needs(Role.OPERATOR)
def release(job_id: str) -> Response:
    _mine(job_id)
    nothing_said()
    assignment.release(services().db, job_id, principal().actor)
    return _said(job_id, "The job has no owner now.")


def _mine(job_id: str) -> None:
    job_view(services().db, job_id, principal().tenant_id)  # of another tenant: NotFound


def _said(job_id: str, message: str) -> Response:
    return job_answer(
        job_view(services().db, job_id, principal().tenant_id) | {"message": message}, 202
    )
