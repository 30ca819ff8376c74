"""Which shape the store has, and which one this code needs: revisions, numbers of four digits, as
the migrations' files are named.

Every process asks at its start, so nothing of Alembic is needed here: importing it would be a tenth
of what a command costs.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, column, inspect, select, table
from sqlalchemy.exc import DatabaseError

from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.store.session import reading

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = table("alembic_version", column("version_num"))


@cache
def known() -> tuple[str, ...]:
    """The revisions that this code can lead to, in order."""
    return tuple(sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")))


def head() -> str:
    """The revision this code needs."""
    return known()[-1]


def current(db: Engine) -> str | None:
    """The revision the store has; None for an empty one."""
    with reading(db) as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return None
        found = connection.execute(select(_VERSION.c.version_num)).scalar()
    return None if found is None else str(found)


def check(db: Engine) -> None:
    """Refuse a store that is older than this code.

    A newer one fits: migrations only add, so old code goes on beside the new.

    Raises: SettingsError in one sentence.
    """
    try:
        found, needed = current(db), head()
    except DatabaseError as error:
        if not isinstance(error.orig, sqlite3.DatabaseError):
            raise
        raise SettingsError(
            f"DATABASE_URL: {db.url.database} cannot be used as a store: {error.orig}"
        ) from error
    if found is None or found < needed:
        raise SettingsError(
            f"DATABASE_URL: the store is at revision {found or 'none'}, this code needs {needed}; run `surefoot db upgrade`"
        )


def check_if_there(db: Engine) -> None:
    """The same, for a process that waits for a store that is away. Raises: SettingsError."""
    with suppress(StoreUnavailable):
        check(db)
