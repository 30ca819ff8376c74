"""A store and a broker of one's own on servers that others use, gone afterwards.

DATABASE_URL and BROKER_URL name servers, never the data to work on: a guest makes a database of its
own on that PostgreSQL and takes empty databases of that Redis, marked as taken. `whose` is said in
names and messages: "drill", "bench".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from surefoot.app.addresses import driver_url
from surefoot.app.delivery.broker import redis_url
from surefoot.app.errors import SettingsError

REDIS_DATABASES = range(15, 0, -1)  # where we look for empty ones, last first
ANSWER_S = 5.0


@contextmanager
def store(database_url: str, file: Path, *, whose: str) -> Iterator[str]:
    """The URL of an empty store: a database of its own where DATABASE_URL names a PostgreSQL, else
    this SQLite file.

    Raises: SettingsError when that PostgreSQL does not let us make a database.
    """
    given = driver_url(database_url)
    if not given or given.startswith("sqlite"):
        yield f"sqlite:///{file}"
        return
    name = f"surefoot_{whose}_{uuid4().hex[:12]}"
    admin = create_engine(given, isolation_level="AUTOCOMMIT", pool_size=1)
    try:
        with admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    except DBAPIError as error:
        admin.dispose()
        raise SettingsError(
            f"DATABASE_URL: the {whose} makes a database of its own there, and could not: {error.orig}"
        ) from error
    try:
        yield make_url(given).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        admin.dispose()


@contextmanager
def redis_database(broker_url: str, *, whose: str) -> Iterator[str]:
    """The URL of an empty database of this Redis, marked as ours, and emptied at the end.

    Raises: SettingsError when there is none, or the broker is not Redis.
    """
    parts = urlsplit(broker_url)
    if parts.scheme not in ("redis", "rediss"):
        raise SettingsError(
            f"BROKER_URL: the {whose} works with Redis by TCP only; unset it for a Redis of its own"
        )
    urls = (urlunsplit(parts._replace(path=f"/{number}")) for number in REDIS_DATABASES)
    taken = next((url for url in urls if _take(url, whose)), None)
    if taken is None:
        raise SettingsError(
            f"BROKER_URL: the {whose} needs an empty database of this Redis (it looks at 1 to 15), and found none"
        )
    try:
        yield taken
    finally:
        with redis.Redis.from_url(redis_url(taken), socket_timeout=ANSWER_S) as client:
            client.flushdb()


def _take(url: str, whose: str) -> bool:
    try:
        with redis.Redis.from_url(redis_url(url), socket_timeout=ANSWER_S) as client:
            if client.dbsize() != 0:
                return False
            return bool(client.set(f"surefoot:{whose}", "1", nx=True)) and client.dbsize() == 1
    except redis.exceptions.ResponseError:  # it has fewer databases
        return False
    except (redis.exceptions.RedisError, OSError) as error:
        raise SettingsError(f"BROKER_URL: the broker does not answer: {error}") from error
