"""Accepting a job, for the API and for the form alike: one transaction, then the bell, and nobody
waits for a broker.
"""

from __future__ import annotations

from typing import Any

from flask import g

from surefoot.app import faults
from surefoot.app.access.principal import Principal
from surefoot.app.engine.jobs.submit import Submission, Submitted
from surefoot.app.faults import Point
from surefoot.web.services import services


def accept(
    who: Principal,
    saga: str,
    value: Any,
    *,
    key: str | None,
    deadline_s: float | None = None,
    tags: tuple[str, ...] = (),
) -> Submitted:
    """Submit and ring. `value`: the saga's input; `deadline_s`: seconds from now.

    Raises: UnknownSaga, InvalidInput, AboveLimit, KeyReused, TooManyOpenJobs, StoreUnavailable.
    """
    here = services()
    submission = Submission(
        tenant_id=who.tenant_id,
        saga=saga,
        input=value,
        actor=who.actor,
        key=key,
        deadline_s=deadline_s,
        tags=tags,
        traceparent=g.traceparent,
    )
    faults.reached(Point.BEFORE_EFFECT, "web", "submit")
    done = here.entrance.submit(submission)
    g.job_id, g.saga = done.job_id, saga  # for the request's line of log
    if not done.replayed:
        faults.reached(Point.AFTER_COMMIT, "web", "submit")
        here.bell.publish_plan(done.plan)
        faults.reached(Point.AFTER_PUBLISH, "web", "submit")
    return done
