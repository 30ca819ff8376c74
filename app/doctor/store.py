"""Questions about the store: is it there, in the right shape, and does it take writes? Does this
host know what time it is?
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from surefoot.app.clock import after
from surefoot.app.config import Settings
from surefoot.app.doctor.findings import Finding, fail, ok, warn
from surefoot.app.errors import SettingsError, SurefootError
from surefoot.app.logs import hidden
from surefoot.app.store import old_names, schema_version
from surefoot.app.store.session import reading

SKEW_WARN_S, SKEW_FAIL_S = 2.0, 300.0
ABOUT = "store"


class NoStore(SurefootError):
    """What needs the store cannot be asked. `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.said)
        self.finding = finding


def there(settings: Settings, db: Engine) -> Iterator[Finding]:
    """Raises: NoStore when nothing else can be asked of it."""
    shown, file = hidden(settings.store_url), make_url(settings.store_url).database
    if (
        db.dialect.name == "sqlite" and file and not Path(file).exists()
    ):  # SQLite would make an empty one
        raise NoStore(
            fail(
                ABOUT,
                f"there is no store at {file} yet",
                "start everything: surefoot up; or set DATABASE_URL",
            )
        )
    try:
        schema_version.check(db)
    except SettingsError as error:
        raise NoStore(fail("migration", error.message, "surefoot db upgrade")) from error
    except (SurefootError, SQLAlchemyError) as error:
        why = str(getattr(error, "__cause__", None) or error).strip().splitlines()[0]
        raise NoStore(
            fail(
                ABOUT,
                f"{shown} cannot be reached: {hidden(why)}",
                "start it, or correct DATABASE_URL; 202 is answered again when it is back",
            )
        ) from error
    yield ok(ABOUT, f"{shown} answers")
    yield ok("migration", f"at revision {schema_version.current(db)}")
    with reading(db) as connection:
        views = len(old_names.found(connection))
    if views:
        yield warn(
            "old names",
            f"{views} views serve processes of the release before",
            "when all of them have ended: surefoot db drop-old-names",
        )


def writable(_settings: Settings, db: Engine) -> Iterator[Finding]:
    """A lock or a mode that keeps everybody from writing. Nothing is written."""
    try:
        with (
            db.connect() as connection,
            connection.begin() as begun,
        ):  # on SQLite that takes the writers' lock
            standby = (
                db.dialect.name == "postgresql"
                and connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one()
            )
            begun.rollback()
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", error)).strip().splitlines()[0]
        fix = (
            "some process holds its lock: find the one that is frozen and end it (SIGKILL)"
            if "lock" in why
            else "see the store's own log"
        )
        yield fail("writes", f"the store takes no writes: {why}", fix)
        return
    if standby:
        yield fail(
            "writes",
            "the store is a standby: it takes no writes",
            "DATABASE_URL must name the primary",
        )
    else:
        yield ok("writes", "the store takes writes")


def clock(_settings: Settings, db: Engine) -> Iterator[Finding]:
    """Times on record are the database's; a host that is wrong misleads people, and signs sessions
    that have ended.
    """
    with reading(db) as connection:
        before = time.time()
        at: datetime = connection.execute(select(after(0.0))).scalar_one()
        asked_s = time.time() - before
    skew_s = at.timestamp() - (before + asked_s / 2)
    off_s = max(0.0, abs(skew_s) - asked_s / 2 - 0.001)
    side = "behind" if skew_s > 0 else "ahead of"
    told = f"{at.astimezone(UTC):%H:%M:%S} UTC"
    said = f"this host's clock is {abs(skew_s):.1f} s {side} the store's ({told})"
    if off_s > SKEW_FAIL_S:
        yield fail("clock", said, "set the clock of this host, or the database's, by NTP")
    elif off_s > SKEW_WARN_S:
        yield warn("clock", said, "set the clock of this host, or the database's, by NTP")
    else:
        yield ok("clock", "this host and the store agree about the time")
