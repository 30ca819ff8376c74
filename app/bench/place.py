"""Where the bench runs: a home, a store and a broker that nobody else uses, and that are gone afterwards.

DATABASE_URL and BROKER_URL name servers, never the data the bench works on: it makes a database of its own on that
PostgreSQL and takes two empty databases of that Redis. Without them it has a SQLite file and a Redis in its home.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from app.config import Settings, driver_url
from app.delivery.broker import redis_url
from app.errors import SettingsError
from app.store import migrate
from app.store.session import open_engine

MARK = "surefoot:bench"  # lies in a Redis database that we took
REDIS_DATABASES = range(15, 0, -1)  # where we look for empty ones, last first


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
        return Path(make_url(self.store_url).database or "") if self.store_url.startswith("sqlite") else None


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
def store(settings: Settings, folder: Path) -> Iterator[tuple[str, str]]:
    """A migrated store: (its URL, words about it).

    Raises: SettingsError when the PostgreSQL of DATABASE_URL does not let us make a database.
    """
    given = driver_url(settings.database_url)
    if not given or given.startswith("sqlite"):
        url = f"sqlite:///{folder / 'bench.sqlite'}"
        _migrate(url)
        yield url, f"SQLite, a file under {folder.parent}"
        return
    name = f"surefoot_bench_{uuid4().hex[:12]}"
    admin = create_engine(given, isolation_level="AUTOCOMMIT", pool_size=1)
    try:
        with admin.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            flush = connection.execute(text("SELECT current_setting('fsync') || '/' || current_setting('synchronous_commit')")).scalar_one()
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    except DBAPIError as error:
        admin.dispose()
        raise SettingsError(f"DATABASE_URL: the bench makes a database of its own there, and could not: {error.orig}") from error
    try:
        url = make_url(given).set(database=name).render_as_string(hide_password=False)
        _migrate(url)
        yield url, f"PostgreSQL {version}, fsync/synchronous_commit {flush}, a database of its own"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        admin.dispose()


def _migrate(url: str) -> None:
    db = open_engine(url)
    try:
        migrate.upgrade(db)
    finally:
        db.dispose()


@contextmanager
def databases_of(broker_url: str) -> Iterator[tuple[str, str]]:
    """Two empty databases of a Redis, marked as ours, and emptied at the end: their URLs.

    Raises: SettingsError when there are none, or the broker is no Redis.
    """
    taken: list[str] = []
    try:
        for number in REDIS_DATABASES:
            url = _with_database(broker_url, number)
            if _take(url):
                taken.append(url)
            if len(taken) == 2:
                break
        if len(taken) < 2:
            raise SettingsError("BROKER_URL: the bench needs two empty databases of this Redis (it looks at 1 to 15), and found none")
        yield taken[0], taken[1]
    finally:
        for url in taken:
            with redis.Redis.from_url(redis_url(url), socket_timeout=5.0) as client:
                client.flushdb()


def _take(url: str) -> bool:
    try:
        with redis.Redis.from_url(redis_url(url), socket_timeout=5.0) as client:
            if client.dbsize() != 0:
                return False
            return bool(client.set(MARK, "1", nx=True)) and client.dbsize() == 1
    except redis.exceptions.ResponseError:  # it has fewer databases
        return False
    except (redis.exceptions.RedisError, OSError) as error:
        raise SettingsError(f"BROKER_URL: the broker does not answer: {error}") from error


def _with_database(url: str, number: int) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss"):
        raise SettingsError("BROKER_URL: the bench measures Redis by TCP only; unset it for a Redis of the bench's own")
    return urlunsplit(parts._replace(path=f"/{number}"))
