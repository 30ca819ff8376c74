"""Tenants: whose jobs these are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from surefoot.app.errors import RequestError
from surefoot.app.saga.naming import DEFAULT_TENANT
from surefoot.app.store.host import host_of
from surefoot.app.store.session import insert_or, transaction
from surefoot.app.store.tables import tenants

DEFAULT = DEFAULT_TENANT
NAME_CHARACTERS = 64


def ensure(db: Engine, name: str = DEFAULT) -> str:
    """The id of the tenant of this name, which is made when there is none."""
    return transaction(db, lambda tx: ensure_in(tx, name))


def ensure_in(tx: Connection, name: str) -> str:
    """The same inside the caller's transaction.

    Raises: RequestError for a name of no or more than 64 characters.
    """
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable():
        raise RequestError(f"A tenant's name has 1 to {NAME_CHARACTERS} visible characters.")
    query = select(tenants.c.id).where(tenants.c.name == name)
    found = tx.execute(query).scalar_one_or_none()
    if found is None:
        insert_unless_there(tx, tenants, {"id": host_of(tx).new_id(), "name": name})
        found = tx.execute(query).scalar_one()
    return str(found)


def insert_unless_there(tx: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert the row; do nothing when another process was first."""
    tx.execute(insert_or(tx, table).values(row).on_conflict_do_nothing())
