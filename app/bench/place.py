"""Where the bench runs: a home, a store and a broker that nobody else uses, and that are gone
afterwards.

DATABASE_URL and BROKER_URL name servers, never the data the bench works on: it makes a database of
its own on that PostgreSQL and takes two empty databases of that Redis. Without them it has a SQLite
file and a Redis in its home.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url, text

from surefoot.app.config import Settings
from surefoot.app.store import migrate
from surefoot.app.store.session import open_engine
from surefoot.app.supervisor import guest

GUEST = "bench"


@dataclass(frozen=True)
class Place:
    """`broker_urls`: without and with Flower's events."""

    home: Path
    store_url: str
    broker_urls: tuple[str, str]

    @property
    def tally(self) -> Path:
        return self.home / "tally"

    @property
    def sqlite_file(self) -> Path | None:
        """The store's file; None on PostgreSQL."""
        return (
            Path(make_url(self.store_url).database or "")
            if self.store_url.startswith("sqlite")
            else None
        )


@contextmanager
def home() -> Iterator[Path]:
    """A folder that only we read."""
    path = Path(tempfile.mkdtemp(prefix="surefoot-bench-"))
    try:
        (path / "tally").mkdir()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def store(settings: Settings, folder: Path, name: str = "bench") -> Iterator[tuple[str, str]]:
    """A migrated store: (its URL, words about it). `name`: of its file, on SQLite.

    Raises: SettingsError when the PostgreSQL of DATABASE_URL does not let us make a database.
    """
    with guest.store(settings.database_url, folder / f"{name}.sqlite", whose=GUEST) as url:
        db = open_engine(url)
        try:
            migrate.upgrade(db)
            words = f"SQLite, a file under {folder.parent}"
            if db.dialect.name == "postgresql":
                with db.connect() as connection:
                    version, fsync, commit = (
                        connection.execute(text(f"SHOW {name}")).scalar_one()
                        for name in ("server_version", "fsync", "synchronous_commit")
                    )
                words = f"PostgreSQL {version}, fsync/synchronous_commit {fsync}/{commit}, a database of its own"
        finally:
            db.dispose()
        yield url, words


@contextmanager
def databases_of(broker_url: str) -> Iterator[tuple[str, str]]:
    """Two empty databases of a Redis, marked as ours, and emptied at the end: their URLs.

    Raises: SettingsError when there are none, or the broker is not Redis.
    """
    with (
        guest.redis_database(broker_url, whose=GUEST) as plain,
        guest.redis_database(broker_url, whose=GUEST) as with_events,
    ):
        yield plain, with_events
