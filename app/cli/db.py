"""`surefoot db`: the shape of the store."""

from __future__ import annotations

import rich_click as click

from surefoot.app.access.keys import ensure_admin
from surefoot.app.cli.common import as_json, print_done
from surefoot.app.config import settings
from surefoot.app.store import migrate, old_names
from surefoot.app.store.session import open_engine


@click.group()
def db() -> None:
    """Manage the store's schema."""


@db.command()
@as_json
def upgrade(as_json: bool) -> None:
    """Bring the store to the shape this version needs, and take SUREFOOT_API_KEY, if it is set, for
    an admin's. Again is the same.
    """
    settings().home.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings().store_url, pool_size=1)
    try:
        before, now = migrate.upgrade(engine, settings().migration_wait_seconds)
        if settings().api_key:
            ensure_admin(engine, settings().api_key)
    finally:
        engine.dispose()
    said = (
        f"The store is at {now}."
        if before == now
        else f"The store was at {before or 'nothing'} and is at {now} now."
    )
    print_done(as_json, said, {"before": before or None, "now": now})


@db.command("drop-old-names")
@as_json
def drop_old_names(as_json: bool) -> None:
    """Drop the views for processes of the release before. Run it when none of them is left.

    On PostgreSQL `upgrade` leaves them, so that old and new workers share the store.
    """
    engine = open_engine(settings().store_url, pool_size=1)
    try:
        dropped = old_names.drop(engine, settings().migration_wait_seconds)
    finally:
        engine.dispose()
    said = f"Dropped {len(dropped)} views." if dropped else "There are no views of old names."
    print_done(as_json, said, {"dropped": dropped})
