"""Messages that nobody can run: acknowledged, and kept with their reason for a person to look at."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, insert

from app.metrics.counters import QUARANTINED
from app.store.ids import new_id
from app.store.session import transaction
from app.store.tables import quarantine

MAX_BODY_CHARS = 4096
MAX_REASON_CHARS = 255


def keep(db: Engine, *, reason: str, queue: str, body: bytes | str, headers: dict[str, Any], size: int | None = None) -> str:
    """Keep a message that nobody can run, with its reason. `size`: bytes of all of it, where known. Returns its id."""
    text = body.decode("utf-8", "backslashreplace") if isinstance(body, bytes) else body
    row = {
        "id": new_id(),
        "reason": reason[:MAX_REASON_CHARS],
        "queue": queue[:MAX_REASON_CHARS],
        "headers": {str(k)[:64]: str(v)[:256] for k, v in list(headers.items())[:32]},
        "body": text[:MAX_BODY_CHARS].replace("\x00", "\\x00"),
        "size": size,
    }
    transaction(db, lambda tx: tx.execute(insert(quarantine).values(**row)))
    QUARANTINED.add()
    return str(row["id"])
