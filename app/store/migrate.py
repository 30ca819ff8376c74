"""Bringing the store to the shape this code needs, and refusing one that does not fit."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from app.errors import SettingsError
from app.store.session import reading

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 0x5EAF007  # two processes that migrate at once take turns


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The revision this code needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current(db: Engine) -> str | None:
    """The revision the store has; None for an empty one."""
    with reading(db) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(db: Engine) -> tuple[str | None, str]:
    """Migrate to this code's revision, one process at a time. Returns (from, to).

    Raises: SettingsError when the store is newer than this code.
    """
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    with db.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock_key)"), {"lock_key": LOCK_KEY})
        before = MigrationContext.configure(connection).get_current_revision()
        if before is not None and before not in known:
            raise SettingsError(
                f"DATABASE_URL: the store is at revision {before}, which is newer than this code; install the newer Surefoot"
            )
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, head()


def check(db: Engine) -> None:
    """Refuse a store that is older than this code. A newer one fits: migrations only add, so old code goes on beside the new.

    Raises: SettingsError in one sentence.
    """
    found, needed = current(db), head()
    if found is None or found < needed:  # numbers of four digits
        raise SettingsError(
            f"DATABASE_URL: the store is at revision {found or 'none'}, this code needs {needed}; run `surefoot db upgrade`"
        )
