"""The jobs that a person means: by id, by the start of one, or by a short name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, literal, true

from surefoot.app.store.ids import is_id, tail_of
from surefoot.app.store.session import reading
from surefoot.app.store.tables import Id, jobs
from surefoot.app.store.views.job_lists import briefs
from surefoot.app.store.views.names import parse_short_name
from surefoot.app.store.views.snapshot import job_rows

SHORTEST_START = 8  # digits of an id: about a minute's jobs begin alike
JOBS_MOST = 20  # that one name may mean; the newest
HEX = frozenset("0123456789abcdef")
ID_DIGITS = 32


def jobs_called(db: Engine, said: str, tenant_id: str | None) -> list[dict[str, Any]]:
    """The tenant's jobs (None: everybody's) of this id or name, newest first, as lists show them.

    `said`: an id, its first SHORTEST_START characters or more, a short name such as `order-7K3F`,
    or its last four characters. Case does not matter.
    """
    guards = _guards(said.strip())
    if guards is None:
        return []
    if tenant_id is not None:
        guards.append(_beside(jobs.c.tenant_id == tenant_id))
    query = job_rows().where(*guards).order_by(jobs.c.id.desc()).limit(JOBS_MOST)
    with reading(db) as connection:
        return briefs(connection, list(connection.execute(query)))


def _beside(guard: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same, said so that no index serves it: that of the name leaves a handful of rows."""
    return guard.is_(true())


def _guards(said: str) -> list[ColumnElement[bool]] | None:
    """None: this cannot name a job."""
    if is_id(said):
        return [jobs.c.id == said.lower()]
    if (name := parse_short_name(said)) is not None:
        saga, tail = name
        return [tail_of(jobs.c.id) == tail, *([_beside(jobs.c.saga == saga)] if saga else [])]
    digits = said.lower().replace("-", "")
    if SHORTEST_START <= len(digits) <= ID_DIGITS and HEX.issuperset(digits):
        least, most = (str(UUID(digits.ljust(ID_DIGITS, fill))) for fill in "0f")
        return [jobs.c.id.between(literal(least, Id), literal(most, Id))]
    return None
