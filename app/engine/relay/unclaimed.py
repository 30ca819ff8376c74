"""What lies ready and nobody comes for: told, and given up only where its saga says so (`queue_timeout=`).

That no worker comes is our fault, not the business's: workers may have been away for an hour, or the machine asleep. So
an operation whose saga says nothing waits on. That it waits too long is seen from its row, which has no clock any more
(`queue_by` null): `why`, doctor and a metric tell of it until somebody comes.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, Engine

from surefoot.app.config import Settings
from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs import operations as attempts
from surefoot.app.engine.jobs.dispatch import Publishes, ring
from surefoot.app.store import queries, updates
from surefoot.app.store.session import reading, transaction
from surefoot.app.store.types import AnyRow

DUTY = "nobody_came"
log = structlog.get_logger("surefoot.sweep")


def sweep(db: Engine, settings: Settings, publisher: Publishes, isolated: Isolated) -> int:
    """The relay's part: give up what says so, and note what waits on. Returns how many it looked at."""
    with reading(db, name="unclaimed.sweep") as connection:
        rows = queries.nobody_came(connection, isolated.room(DUTY, settings.sweep_rows))
    waiting: list[str] = []

    def look(row: AnyRow) -> int:
        with reading(db, name="unclaimed.sweep") as connection:
            gives_up = _gives_up(connection, row)
        if gives_up:  # each by itself, under its job's lock
            ring(db, publisher, attempts.nobody_came(db, settings, row.id, row.job_id).plan)
        else:
            waiting.append(row.id)
        return 1

    looked_at = isolated.each(DUTY, rows, look)
    told = (
        transaction(db, lambda tx: updates.note_nobody_came(tx, waiting), name="unclaimed.sweep")
        if waiting
        else 0
    )
    if told:
        log.warning("nobody_comes", operations=told)
    return looked_at


def _gives_up(connection: Connection, row: AnyRow) -> bool:
    return queries.graph_of(connection, row.digest).by_name[row.step].limits_of(row.kind).gives_up
