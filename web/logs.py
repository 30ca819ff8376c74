"""One line for each request, as JSON on stderr: what was asked and how it ended, never a body, a key or a query."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time

import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger("surefoot.web")
QUIET = ("health.livez", "health.readyz", "static")  # asked all day long
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def configure() -> None:
    """JSON lines, in which no input can forge a line of its own. Leaves a process alone that has configured structlog itself."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def install(app: Flask) -> None:
    configure()
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.monotonic()
    given = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    g.trace_id = given.group(1) if given and given.group(1).strip("0") else secrets.token_hex(16)


def _end(response: Response) -> Response:
    response.headers["X-Trace-Id"] = g.get("trace_id", "")
    if request.endpoint in QUIET:
        return response
    principal = g.get("principal")
    log.info(
        "request",
        method=request.method[:10],
        path=request.path[:200],
        status=response.status_code,
        ms=round((time.monotonic() - g.get("began", time.monotonic())) * 1000, 1),
        key=principal.key_id if principal else None,
        trace_id=g.get("trace_id", ""),
    )
    return response
