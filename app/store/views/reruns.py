"""Which job runs an ended one again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from surefoot.app.rules.states import JobState
from surefoot.app.store.tables import jobs
from surefoot.app.store.types import one_of

UNDONE = (JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Rerun:
    """`stands`: it is open or completed, so there is no second one."""

    job_id: str
    stands: bool


def reruns_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, Rerun]:
    """job id -> its resubmission that is open or completed, else its newest; one statement for all."""
    if not job_ids:
        return {}
    c = jobs.c
    query = select(c.retry_of, c.id, c.state).where(
        one_of(c.retry_of, "p_ids"), c.retry_of.is_not(None)
    )
    found: dict[str, Rerun] = {}
    # sorted here: SQLite would walk all jobs by their ids for it
    for row in sorted(
        connection.execute(query, {"p_ids": list(job_ids)}), key=lambda row: str(row.id)
    ):
        known = found.get(row.retry_of)
        if known is None or not known.stands:
            found[row.retry_of] = Rerun(row.id, row.state not in UNDONE)
    return found
