"""New stores of this code's shape, fast: migrated once in a test process, and copied from then on.

That a migration makes this shape of an empty database is what tests/contract/store/test_migrations.py is for.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, update

from surefoot.app.clock import now
from surefoot.app.store.migrate import upgrade
from surefoot.app.store.session import open_engine
from surefoot.app.store.tables import periodic_runs


def open_new_store(url: str) -> Engine:
    """An engine on a new store. `url`: a SQLite file that is to be made, or a PostgreSQL database of `ready_postgres`."""
    db = open_engine(url)
    if db.dialect.name == "sqlite":
        assert db.url.database, "a store in memory cannot be a copy"
        with Path(db.url.database).open("xb") as file:
            file.write(_migrated_file())
    with db.begin() as tx:
        tx.execute(
            update(periodic_runs).values(started_at=now())
        )  # when the store was made: the one time in it
    return db


@cache
def _migrated_file() -> bytes:
    """What a SQLite file holds that was just migrated."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "store.sqlite"
        migrate(f"sqlite:///{file}")
        return file.read_bytes()


def migrate(url: str) -> None:
    """Bring an empty database to this code's shape, and leave no connection behind."""
    db = open_engine(url)
    try:
        upgrade(db)
    finally:
        db.dispose()
