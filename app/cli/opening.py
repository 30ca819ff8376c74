"""Open the store for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, make_url

from surefoot.app import metrics
from surefoot.app.config import settings
from surefoot.app.errors import SettingsError
from surefoot.app.store import schema_version
from surefoot.app.store.session import open_engine


@contextmanager
def store() -> Iterator[Engine]:
    """The store, checked to fit this code. Raises: SettingsError, StoreUnavailable."""
    url = settings().store_url
    file = make_url(url).database if url.startswith("sqlite") else None
    if file and not Path(file).exists():  # SQLite would make an empty one
        raise SettingsError(
            f"there is no store at {file} yet: start everything with `surefoot up`, or set DATABASE_URL"
        )
    db = open_engine(url, pool_size=1)
    counts = settings().home.is_dir() and not metrics.started()
    if counts:
        metrics.start(
            settings().home
        )  # a job that was submitted here is as good as any; what only reads leaves no file
    try:
        schema_version.check(db)
        yield db
    finally:
        if counts:
            metrics.stop()
        db.dispose()
