"""How many there are, counted no further than a person wants to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, literal_column, select

from surefoot.app.rules.states import JobState, LetterState
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.session import reading
from surefoot.app.store.statements import in_text
from surefoot.app.store.tables import dead_letters, jobs

COUNTED_MOST = 1_000


@dataclass(frozen=True)
class Count:
    """`number`: exact up to COUNTED_MOST; `more`: there are more than that."""

    number: int
    more: bool = False

    @property
    def shown(self) -> str:
        """As `301` or `more than 1,000`."""
        return f"more than {self.number:,}" if self.more else f"{self.number:,}"


def counted(connection: Connection, query: Select[Any]) -> Count:
    """The rows of a query that an index serves: it is read COUNTED_MOST + 1 rows far."""
    row: Select[Any] = query.with_only_columns(literal_column("1"), maintain_column_froms=True)
    few = row.order_by(None).limit(COUNTED_MOST + 1).subquery()
    found = connection.execute(select(func.count()).select_from(few)).scalar_one()
    return Count(min(found, COUNTED_MOST), found > COUNTED_MOST)


def count_letters(db: Engine, meant: DeadLetterFilter) -> Count | None:
    """Open letters; None of others, which no index has apart."""
    if meant.state != LetterState.OPEN:
        return None
    with reading(db) as connection:
        return counted(connection, select(dead_letters.c.id).where(*meant.guards()))


def needing_person(db: Engine, tenant_id: str) -> Count:
    """The tenant's jobs that ask a person."""
    with reading(db) as connection:
        return needing_person_of(connection, tenant_id)


def needing_person_of(connection: Connection, tenant_id: str) -> Count:
    """The same, within a read."""
    waiting = select(jobs.c.id).where(
        jobs.c.tenant_id == tenant_id, jobs.c.state == in_text(JobState.ATTENTION)
    )
    return counted(connection, waiting)
