"""Messages that nobody can run: acknowledged, and kept with their reason for a person to look at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from surefoot.app.metrics.counters import QUARANTINED
from surefoot.app.store import quarantine
from surefoot.app.store.host import host_of
from surefoot.app.store.ids import is_id
from surefoot.app.store.session import transaction

MAX_BODY_CHARS = 4096
MAX_REASON_CHARS = 255
_JOB = re.compile(
    r'\s*\[\s*\[\s*"([0-9a-f-]{36})"'
)  # the first argument of a task, as our messages have it


@dataclass(frozen=True)
class Unrunnable:
    """A message as it came.

    `queue`: "" where that is not known; `size`: bytes of all of it, where known.
    """

    queue: str
    body: bytes | str
    headers: Mapping[str, Any]
    size: int | None = None


def keep(db: Engine, reason: str, message: Unrunnable) -> str:
    """Keep a message that no worker can run, with its reason. Returns its id.

    It is shown to the tenant whose job it names, if that is here, and to the platform.
    """
    body = message.body
    text = body.decode("utf-8", "backslashreplace") if isinstance(body, bytes) else body
    row = {
        "id": host_of(db).new_id(),
        "reason": reason[:MAX_REASON_CHARS],
        "queue": message.queue[:MAX_REASON_CHARS],
        "headers": {str(k)[:64]: str(v)[:256] for k, v in list(message.headers.items())[:32]},
        "body": text[:MAX_BODY_CHARS].replace("\x00", "\\x00"),
        "size": message.size,
    }
    job_id = _job_named_in(text)
    transaction(db, lambda tx: quarantine.add_message(tx, row, job_id), name="quarantine.keep")
    QUARANTINED.add()
    return str(row["id"])


def _job_named_in(body: str) -> str | None:
    found = _JOB.match(body)
    return found[1] if found is not None and is_id(found[1]) else None
