"""Jobs: submit, read, list, cancel, redrive, resubmit, and why they stand where they stand."""

from __future__ import annotations

from flask import Blueprint, Response, request

from surefoot.app.access.principal import Role
from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.engine.operators import decisions
from surefoot.app.engine.operators.redrive import redrive_job
from surefoot.app.engine.operators.resubmit import Asked, resubmit_job
from surefoot.app.errors import NotFound
from surefoot.app.explain import why
from surefoot.app.rules.states import ENDED
from surefoot.app.store.views import Revision, history_view, job_view, job_with_revision, list_jobs
from surefoot.app.store.views.names import API
from surefoot.web.accept import accept
from surefoot.web.api import parameters as p
from surefoot.web.api import requests
from surefoot.web.api.auth import check_key, check_session, checks_its_key, needs, principal
from surefoot.web.api.documented import Answer, described
from surefoot.web.api.pages import Pages
from surefoot.web.api.problems import FAULTS_MOST, Problem
from surefoot.web.api.responses import answer, job_answer, unchanged_job, wait_for_end
from surefoot.web.api.shapes import jobs as shapes
from surefoot.web.body import read_json, read_optional_object
from surefoot.web.services import services

routes = Blueprint("jobs", __name__, url_prefix=f"{API}/jobs")
HISTORY_MOST = 2**31 - 1
SUBMITTED = ("Idempotent-Replayed", "Preference-Applied")
STILL = Answer("Not modified.", None, ("ETag", "Retry-After", "Preference-Applied"))


@routes.post("")
@described(
    "Submit a job",
    "jobs",
    {
        202: Answer(
            "Accepted: the job will end, whatever crashes from now on.",
            shapes.Job,
            ("Location", "Retry-After", *SUBMITTED),
        ),
        200: Answer("It has ended while the request waited.", shapes.Job, ("Location", *SUBMITTED)),
    },
    body=requests.JobRequest,
    parameters=(p.IDEMPOTENCY_KEY, p.PREFER),
    problems=(
        "invalid-idempotency-key",
        "unknown-saga",
        "key-reused",
        "above-limit",
        "too-many-requests",
    ),
    details="`GET /api/v1/sagas/{name}` has the schema of `input`.",
)
def submit() -> Response:
    key = requests.idempotency_key()
    wanted = requests.job_request(read_json(request, services().settings.body_bytes))
    done = accept(
        principal(),
        wanted.saga,
        wanted.input,
        key=key,
        deadline_s=wanted.deadline_seconds,
        tags=tuple(wanted.tags),
    )
    tenant_id = principal().tenant_id
    waited = wait_for_end(lambda: services().polls.look(done.job_id, tenant_id))
    view = job_view(services().db, done.job_id, tenant_id)
    status = 200 if waited and view["state"] in ENDED else 202
    return job_answer(view, status, replayed=done.replayed, waited=waited)


@routes.get("/<job_id>")
@checks_its_key
@described(
    "Read a job",
    "jobs",
    {
        200: Answer("The job.", shapes.Job, ("ETag", "Retry-After", "Preference-Applied")),
        304: STILL,
    },
    parameters=(p.IF_NONE_MATCH, p.PREFER),
)
def show(job_id: str) -> Response:
    here, who = services(), principal()

    def look() -> Revision:
        try:
            revision = here.polls.look(job_id, who.tenant_id, who.key_id)
        except NotFound:
            check_key()
            raise
        if not revision.key_is_good:
            check_key()
        return revision

    waited = wait_for_end(look)
    if waited:
        check_session()
    if request.if_none_match:
        revision = look()
        if request.if_none_match.contains_weak(revision.tag):
            return unchanged_job(revision, waited)
    else:
        check_key()
    view, revision = job_with_revision(here.db, job_id, who.tenant_id)
    return job_answer(view, 200, waited=waited, tag=revision.tag)


@routes.get("")
@described(
    "List jobs, newest first",
    "jobs",
    {200: Answer("A page of your jobs.", shapes.JobList, ("ETag", "Link")), 304: p.UNCHANGED},
    parameters=(p.STATE, p.SAGA, p.TAG, p.LIMIT, p.CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input", "invalid-cursor"),
)
def index() -> Response:
    requests.only_parameters("state", "saga", "tag", "limit", "cursor")
    state, saga, tag, limit = (
        requests.state_parameter(),
        requests.text_parameter("saga"),
        requests.text_parameter("tag"),
        requests.limit_parameter(),
    )
    pages = Pages("jobs", state=state, saga=saga, tag=tag)
    items, edge = list_jobs(
        services().db,
        principal().tenant_id,
        state=state,
        saga=saga,
        tag=tag,
        after=pages.after(),
        limit=limit,
    )
    return pages.answer(items, edge)


@routes.get("/<job_id>/why")
@described(
    "Explain a job's state",
    "jobs",
    {200: Answer("The explanation, in sentences.", shapes.Why, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.IF_NONE_MATCH,),
)
def explain(job_id: str) -> Response:
    return answer(why(services().db, job_id, principal().tenant_id))


@routes.get("/<job_id>/history")
@described(
    "Read a job's history",
    "jobs",
    {200: Answer("A page of events.", shapes.History, ("ETag",)), 304: p.UNCHANGED},
    parameters=(p.EVENT_LIMIT, p.EVENT_CURSOR, p.IF_NONE_MATCH),
    problems=("invalid-input",),
)
def history(job_id: str) -> Response:
    requests.only_parameters("limit", "cursor")
    after = requests.int_parameter("cursor", 0, 0, HISTORY_MOST)
    events = history_view(
        services().db,
        job_id,
        principal().tenant_id,
        after=after,
        limit=requests.limit_parameter(200),
    )
    return answer(events | {"next": None if events["next"] is None else str(events["next"])})


@routes.post("/<job_id>/cancel")
@described(
    "Cancel a job and undo what it did",
    "jobs",
    {202: p.CHANGED_JOB},
    body=requests.Nothing,
    body_wanted=False,
    problems=("conflict",),
    details="Past the point of no return the request is recorded: it takes effect if that step fails.",
)
def cancel(job_id: str) -> Response:
    nothing_said()
    here, who = services(), principal()
    job_view(here.db, job_id, who.tenant_id)  # of another tenant: NotFound
    decision = decisions.cancel(here.db, here.settings, job_id, who.actor)
    here.bell.publish_plan(decision.plan)
    return job_answer(job_view(here.db, job_id, who.tenant_id) | {"message": decision.message}, 202)


@routes.post("/<job_id>/redrive")
@described(
    "Redrive a job in attention",
    "jobs",
    {
        202: Answer(
            "It is on record; the job as it stands.",
            shapes.DecidedJob,
            ("Location", "Retry-After", "Idempotent-Replayed"),
        )
    },
    body=requests.Reason,
    parameters=(p.IDEMPOTENCY_KEY,),
    problems=("invalid-idempotency-key", "conflict", "key-reused"),
    details="Every operation that a person is asked about gets fresh attempts. Operators only. A job that has ended"
    " is resubmitted instead. The same key has the same answer.",
)
@needs(Role.OPERATOR)
def redrive(job_id: str) -> Response:
    here, who, key = services(), principal(), requests.idempotency_key()
    job_view(here.db, job_id, who.tenant_id)  # of another tenant: NotFound
    reason = requests.checked(
        requests.Reason, read_optional_object(request, here.settings.body_bytes) or {}
    ).reason
    done = redrive_job(here.entrance, job_id, Asked(who.actor, reason, key))
    here.bell.publish_plan(done.plan)
    view = job_view(here.db, job_id, who.tenant_id)
    if isinstance(done, Submitted):
        again = "It was redriven before, under this key."
        return job_answer(view | {"message": again}, 202, replayed=True)
    return job_answer(view | {"message": done.message}, 202)


@routes.post("/<job_id>/resubmit")
@described(
    "Resubmit an ended job as a new one",
    "jobs",
    {
        202: Answer(
            "It is on record; the new job.",
            shapes.DecidedJob,
            ("Location", "Retry-After", "Idempotent-Replayed"),
        )
    },
    body=requests.Resubmit,
    body_wanted=False,
    parameters=(p.IDEMPOTENCY_KEY,),
    problems=(
        "invalid-idempotency-key",
        "conflict",
        "key-reused",
        "unknown-saga",
        "above-limit",
        "too-many-requests",
    ),
    details="The new job's `resubmission_of` names the old one. A completed job is resubmitted only with `again`."
    " At most one resubmission of a job is open or completed: another request is a 409 whose `job` is that one."
    " The same key has the same answer.",
)
def resubmit(job_id: str) -> Response:
    here, who, key = services(), principal(), requests.idempotency_key()
    wanted = requests.checked(
        requests.Resubmit, read_optional_object(request, here.settings.body_bytes) or {}
    )
    job_view(here.db, job_id, who.tenant_id)  # of another tenant: NotFound
    done = resubmit_job(here.entrance, job_id, Asked(who.actor, wanted.reason, key, wanted.again))
    here.bell.publish_plan(done.plan)
    said = "The job has ended, so this is a new job that names it."
    view = job_view(here.db, done.job_id, who.tenant_id) | {"message": said}
    return job_answer(view, 202, replayed=done.replayed)


def nothing_said() -> None:
    """These take no words: a field that is ignored would be a promise that is not kept."""
    body = read_optional_object(request, services().settings.body_bytes)
    if body:
        faults = [
            {"pointer": f"/{str(name)[:64]}", "detail": "is not a field of this request"}
            for name in list(body)[:FAULTS_MOST]
        ]
        raise Problem("invalid-input", "This request takes no fields.", errors=faults)
