"""A copy of a store, and the store put back to it: what a restore from a backup leaves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, delete, insert, select

from surefoot.app.store.session import reading
from surefoot.app.store.tables import metadata

Copy = dict[str, list[dict[str, Any]]]


def copy_of(db: Engine) -> Copy:
    """Every row, of one moment."""
    with reading(db) as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


def put_back(db: Engine, copy: Copy) -> None:
    """The store is as it was."""
    with db.begin() as tx:
        for table in reversed(metadata.sorted_tables):
            tx.execute(delete(table))
        for table in metadata.sorted_tables:
            if copy[table.name]:
                tx.execute(insert(table), copy[table.name])
