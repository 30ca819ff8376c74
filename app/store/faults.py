"""How often each injected fault has fired, kept in the store: a process that is started again does
not start over.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite

from surefoot.app import faults
from surefoot.app.config import Settings
from surefoot.app.errors import StoreUnavailable
from surefoot.app.store.session import execute_single
from surefoot.app.store.tables import faults_fired


def arm(settings: Settings, db: Callable[[], Engine]) -> None:
    """Put what SUREFOOT_FAULTS says at the points of this process.

    `db`: this process's engine, asked for at each firing.
    """
    if settings.faults:
        faults.active = faults.Injector(
            settings.fault_plan, lambda key, times: due(db(), key, times)
        )


def due(db: Engine, key: str, times: int) -> bool:
    """Count one more firing.

    False: it has fired `times` already, or it cannot be counted, and then it must not fire.
    """
    try:
        return execute_single(db, lambda tx: _count(tx, key, times))
    except StoreUnavailable:
        return False


def _count(tx: Connection, key: str, times: int) -> bool:
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    c = faults_fired.c
    statement = insert(faults_fired).values(fault=key, times=1)
    again = statement.on_conflict_do_update(
        index_elements=[c.fault], set_={"times": c.times + 1}, where=c.times < times
    )
    return tx.execute(again.returning(c.times)).first() is not None
