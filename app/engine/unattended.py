"""What lies ready and nobody comes for: told, and given up only where its saga says so (`queue_timeout=`).

That no worker comes is our fault, not the business's: workers may have been away for an hour, or the machine asleep. So
an operation whose saga says nothing waits on. That it waits too long is seen from its row, which has no clock any more
(`queue_by` null): `why`, doctor and a metric tell of it until somebody comes.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, Engine

from app.config import Settings
from app.engine import attempt as attempts
from app.engine.dispatch import Publishes, ring
from app.store import queries, updates
from app.store.session import reading, transaction
from app.store.types import AnyRow

log = structlog.get_logger("surefoot.sweep")


def sweep(db: Engine, settings: Settings, publisher: Publishes) -> int:
    """The relay's part: give up what says so, and note what waits on. Returns how many it looked at."""
    with reading(db) as connection:
        rows = queries.nobody_came(connection, settings.sweep_rows)
        given_up = [row for row in rows if _gives_up(connection, row)]
    for row in given_up:  # each by itself, under its job's lock
        ring(db, publisher, attempts.nobody_came(db, settings, row.id, row.job_id).plan)
    waiting = [row.id for row in rows if row not in given_up]
    told = transaction(db, lambda tx: updates.note_nobody_came(tx, waiting)) if waiting else 0
    if told:
        log.warning("nobody_comes", operations=told)
    return len(rows)


def _gives_up(connection: Connection, row: AnyRow) -> bool:
    return queries.graph_of(connection, row.digest).by_name[row.step].limits_of(row.kind).gives_up
