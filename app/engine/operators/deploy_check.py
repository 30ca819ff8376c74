"""Before a deploy: can this code go on with the jobs that are under way? Asked of what is stored,
by the code itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from surefoot.app.rules.states import DONE, Kind
from surefoot.app.saga.calls import cannot_read
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store import job_reads, operation_reads
from surefoot.app.store.session import reading
from surefoot.app.store.views import stats


@dataclass(frozen=True)
class Unfit:
    """What this code cannot do with jobs under way.

    `said`: one sentence; `jobs`: how many of those that were looked at.
    """

    saga: str
    said: str
    jobs: int


def unreadable_jobs(db: Engine, registry: Registry, *, most: int = 1000) -> list[Unfit]:
    """Open jobs whose definition this code lacks, or whose input or results it cannot read; of each
    definition the oldest `most`.
    """
    found: Counter[tuple[str, str]] = Counter()
    with reading(db, name="deploy_check.unreadable_jobs") as connection:
        for pinned in stats.open_versions(connection):
            saga = registry.by_digest(pinned.saga, pinned.digest)
            if saga is None:
                found[
                    pinned.saga,
                    f"this code does not have version {pinned.version} ({pinned.digest})",
                ] = pinned.jobs
            else:
                found += _unread(connection, saga, pinned, most)
    return [Unfit(saga, said, jobs) for (saga, said), jobs in sorted(found.items())]


def _unread(
    connection: Connection, saga: Saga[Any], pinned: stats.Version, most: int
) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for job in job_reads.open_jobs_of(connection, pinned.digest, most):
        rows = operation_reads.operations_of(connection, job.id, Kind.ACTION)
        results = {row.step: row.result for row in rows if row.state in DONE}
        found.update(
            {(pinned.saga, error.message) for error in cannot_read(saga, job.input, results)}
        )
    return found
