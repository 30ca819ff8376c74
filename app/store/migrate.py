"""Bringing the store to the shape this code needs.

A migration comes while others work. It asks for each lock a moment only, since later requests wait
behind it, and is repeated whole when it did not get one or stood crosswise to somebody. Once it has
them it may take as long as it needs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.store import response_timeout
from surefoot.app.store.schema_version import MIGRATIONS, head, known
from surefoot.app.store.session import map_error, retryable

T = TypeVar("T")
LOCK_KEY = 0x5EAF007  # two processes that migrate at once take turns
LOCK_WAIT_S = 1.0  # everybody who needs a table waits behind a migration that waits for it
PAUSE_S = 0.5  # between two tries, in the mean
# how long the tries go on; SUREFOOT_MIGRATION_WAIT_SECONDS says it where there are settings
WAIT_S = 300.0


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(db: Engine, wait_s: float = WAIT_S) -> tuple[str | None, str]:
    """Migrate to this code's revision, one process at a time, beside those that work.

    Returns (from, to).

    Raises: SettingsError when the store is newer than this code; StoreUnavailable as `reshape`.
    """
    return reshape(db, _upgraded, wait_s)


def reshape(db: Engine, change: Callable[[Connection], T], wait_s: float = WAIT_S) -> T:
    """Run `change`, which alters tables, in one transaction; repeat it whole while others are in
    its way, for `wait_s`.

    Raises: StoreUnavailable when they were for so long, or the store cannot be reached; nothing is
    changed then.
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            with db.begin() as connection, response_timeout.unbounded(connection):
                if connection.dialect.name == "postgresql":
                    connection.execute(text(f"SET LOCAL lock_timeout = {int(LOCK_WAIT_S * 1000)}"))
                    connection.execute(text("SET LOCAL statement_timeout = 0"))
                return change(connection)
        except (DBAPIError, PoolTimeout) as error:
            if not retryable(error):
                raise map_error(error) from error
            if time.monotonic() >= give_up_at:
                raise StoreUnavailable(
                    f"SUREFOOT_MIGRATION_WAIT_SECONDS: for {wait_s:g} s somebody else held what the migration needs to lock "
                    "(another migration, or a transaction that does not end); nothing was changed"
                ) from error
        time.sleep(random.uniform(0, 2 * PAUSE_S))


def _upgraded(connection: Connection) -> tuple[str | None, str]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock_key)"), {"lock_key": LOCK_KEY})
    before = MigrationContext.configure(connection).get_current_revision()
    if before is not None and before not in known():
        raise SettingsError(
            f"DATABASE_URL: the store is at revision {before}, which is newer than this code; install the newer Surefoot"
        )
    config = _config()
    config.attributes["connection"] = connection
    config.attributes["fresh"] = before is None  # nobody uses the names of an earlier release
    command.upgrade(config, "head")
    return before, head()
