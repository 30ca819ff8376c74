"""Views of the names that tables and columns had in the release before (migration 0020).

The hazard: a deploy replaces workers one by one, and one of the release before asks for `jobs` and
`operations.missing` until it has ended. The answer on PostgreSQL: a view for each old name, through
which it reads, locks and writes the same rows. They cost nothing, and are dropped when no process
of that release is left.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text

from surefoot.app.store.migrate import WAIT_S, reshape
from surefoot.app.store.tables import metadata
from surefoot.app.store.tables.base import PREFIX

EARLIER = {"rounds", "effects"} | {name.removeprefix(PREFIX) for name in metadata.tables}


def found(connection: Connection) -> list[str]:
    """The old names that are there, in order. None on SQLite, and in a store that is new.

    A team's own view of such a name does not read Surefoot's tables, and stays.
    """
    if connection.dialect.name != "postgresql":
        return []
    views = inspect(connection)
    there = EARLIER.intersection(views.get_view_names())
    return sorted(name for name in there if PREFIX in views.get_view_definition(name))


def drop(db: Engine, wait_s: float = WAIT_S) -> list[str]:
    """Drop them all.

    Returns their names. Raises: StoreUnavailable as `reshape`; nothing is dropped then.
    """

    def change(connection: Connection) -> list[str]:
        names = found(connection)
        for name in names:
            connection.execute(text(f'DROP VIEW "{name}"'))
        return names

    return reshape(db, change, wait_s)
