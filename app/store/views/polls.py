"""What a polling client asks, as cheaply as the store can be asked: has this job changed, and is
this key still good?

On PostgreSQL polls that come together are one statement (`gathering`), in the driver's own words
and on a connection that is kept at hand (`kept`): with SQLAlchemy around it the statement costs the
process four times as much, and a poll is little else. On SQLite, and whenever a connection breaks,
a poll is asked the plain way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from surefoot.app.errors import NotFound, StoreUnavailable
from surefoot.app.store.coalescing import PATIENCE_S, Coalescer
from surefoot.app.store.ids import is_id
from surefoot.app.store.pinned import KeptConnection
from surefoot.app.store.session import map_error
from surefoot.app.store.views.revision import (
    NO_SUCH_JOB,
    OF_MANY,
    OF_ONE,
    Revision,
    job_revision,
    made_of,
)

if TYPE_CHECKING:  # only what talks to PostgreSQL loads its driver
    import psycopg


@dataclass(frozen=True, slots=True)
class _Poll:
    """`tenant_id`: None for anybody's job."""

    job_id: str
    tenant_id: str | None
    key_id: str | None


class Polls:
    """The polls of one process. `patience_s`: how long one waits for the others."""

    def __init__(self, db: Engine, patience_s: float = PATIENCE_S) -> None:
        self._db = db
        self._kept = KeptConnection(db)
        self._together: Coalescer[_Poll, Revision] | None = None
        self._broken: tuple[type[Exception], ...] = ()
        self._too_late: tuple[type[Exception], ...] = ()
        if db.dialect.name == "postgresql":
            import psycopg

            from surefoot.app.store.listening import StoreTimeout

            self._together = Coalescer(self._ask_all, patience_s)
            self._broken = (psycopg.OperationalError,)
            self._too_late = (StoreTimeout, psycopg.errors.QueryCanceled)

    def look(self, job_id: str, tenant_id: str | None, key_id: str | None = None) -> Revision:
        """As `job_revision`, of a statement that begins after this call.

        Raises: NotFound, StoreUnavailable.
        """
        if self._together is None:
            return job_revision(self._db, job_id, tenant_id, key_id)
        try:
            found = self._together.ask(_Poll(job_id, tenant_id, key_id)) if is_id(job_id) else None
        except self._broken:
            # the plain way takes another connection, and does what has to be done about both
            return job_revision(self._db, job_id, tenant_id, key_id)
        if found is None:
            raise NotFound(NO_SUCH_JOB)
        return found

    def _ask_all(self, polls: Sequence[_Poll]) -> Sequence[Revision | None]:
        try:
            with self._kept.borrow() as cursor:
                return _read(cursor, polls)
        except self._too_late as error:
            raise StoreUnavailable() from error  # that was waited for long enough
        except (DBAPIError, PoolTimeout) as error:
            raise map_error(error) from error


def _read(
    cursor: psycopg.Cursor[tuple[Any, ...]], polls: Sequence[_Poll]
) -> Sequence[Revision | None]:
    if len(polls) == 1:
        one = polls[0]
        row = cursor.execute(
            OF_ONE, {"job": one.job_id, "tenant": one.tenant_id, "key": one.key_id}
        ).fetchone()
        return [None if row is None else made_of(*row)]
    places = {poll: place for place, poll in enumerate(dict.fromkeys(polls))}
    asked = [
        {"place": place, "job": poll.job_id, "key": poll.key_id, "tenant": poll.tenant_id}
        for poll, place in places.items()
    ]
    found = {row[0]: made_of(*row[1:]) for row in cursor.execute(OF_MANY, (json.dumps(asked),))}
    return [found.get(places[poll]) for poll in polls]
