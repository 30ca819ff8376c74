"""One line and one count for each request: what was asked and how it ended, never a body, a key or
a query.

The line of a request about a job, or one that made it, has both its trace id and the job's, and so
has what workers did with it.
"""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, g, request

from surefoot.app import logs, trace
from surefoot.app.metrics.counters import REQUESTS
from surefoot.app.store.ids import is_id
from surefoot.app.store.views.names import names_in_log

log = structlog.get_logger("surefoot.web")
# a poll; there are more of them than of anything else, and each says that nothing happened. They
# are counted
NOTHING_NEW = 304
QUIET = ("health.livez", "health.readyz", "static")  # asked all day long
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


def install(app: Flask) -> None:
    logs.configure()
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.monotonic()
    g.traceparent = trace.taken(request.headers.get(trace.HEADER))
    g.trace_id = trace.trace_id(g.traceparent)


def _end(response: Response) -> Response:
    response.headers["X-Trace-Id"] = g.get("trace_id", "")
    took_s = time.monotonic() - g.get("began", time.monotonic())
    REQUESTS.observe(took_s, method=_method(), route=_route(), status=str(response.status_code))
    if request.endpoint in QUIET or response.status_code == NOTHING_NEW:
        return response
    principal = g.get("principal")
    job = (
        g.get("job_id") or _job_of_the_address()
    )  # every line of the workers about it names it too
    log.info(
        "request",
        method=request.method[:10],
        path=request.path[:200],
        status=response.status_code,
        ms=round(took_s * 1000, 1),
        key=principal.key_id if principal else None,
        **(names_in_log(g.get("saga", ""), job) if job else {}),
        trace_id=g.get("trace_id", ""),
    )
    return response


def _job_of_the_address() -> str | None:
    named = (request.view_args or {}).get("job_id", "")
    return str(named) if is_id(named) else None


def _method() -> str:
    return request.method if request.method in METHODS else "other"


def _route() -> str:
    """The rule, never the path: ids are in paths."""
    return request.url_rule.rule if request.url_rule is not None else "none"
