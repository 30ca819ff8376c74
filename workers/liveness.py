"""A sign of life that costs nothing to read: the time of a file (SUREFOOT_HEARTBEAT_FILE).

It says that the loop goes round, not that the store or the broker answers: a restart would mend
neither. Asking a worker by Celery's own ping costs a start of Python, and gets no answer while the
broker is away.
"""

from __future__ import annotations

import structlog

from surefoot.app.config import settings

log = structlog.get_logger(__name__)


def touch() -> None:
    """Touch the file, if one is set. Never raises: a full disk must not stop work."""
    path = settings().heartbeat_file
    if path is None:
        return
    try:
        path.touch()
    except OSError as error:
        log.warning("heartbeat.not_written", file=str(path), error=repr(error))
