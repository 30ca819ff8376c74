"""`surefoot keys`: who may speak to the HTTP interface."""

from __future__ import annotations

import rich_click as click

from surefoot.app.access import keys as access
from surefoot.app.access import sessions
from surefoot.app.access.principal import Role, shell_actor
from surefoot.app.access.tenants import DEFAULT
from surefoot.app.cli.common import as_json, moment, print_done, print_json, print_table
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.store.views.names import stamp


@click.group()
def keys() -> None:
    """API keys: make, list and revoke them.

    A key is shown once, when it is made.
    """


@keys.command()
@click.option(
    "--tenant",
    default=DEFAULT,
    show_default=True,
    help="The tenant whose jobs it may see; created if it does not exist.",
)
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    default=str(Role.USER),
    show_default=True,
)
@click.option("--name", default="", help="What it is for, shown in lists.")
@as_json
def create(tenant: str, role: str, name: str, as_json: bool) -> None:
    """Make a key and print it, once."""
    with store() as db:
        key_id, key = access.create(db, tenant, role, name, actor=shell_actor())
    if as_json:
        print_json({"id": key_id, "key": key, "tenant": tenant, "role": role})
    else:
        click.echo(key)


@keys.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show all keys by their first characters."""
    with store() as db:
        rows = access.list_keys(db)
    if as_json:
        print_json(rows)
        return
    headings = ["id", "begins with", "tenant", "role", "name", "made", "revoked"]
    shown = [
        [
            r["id"],
            r["prefix"],
            r["tenant"],
            r["role"],
            r["name"],
            _day(r["created_at"]),
            _day(r["revoked_at"]),
        ]
        for r in rows
    ]
    print_table(headings, shown, "There are no keys. Make one with: surefoot keys create")


@keys.command()
@click.argument("key", metavar="ID|PREFIX")
@as_json
def revoke(key: str, as_json: bool) -> None:
    """Refuse a key from now on, and sign out every browser that signed in with it."""
    with store() as db:
        at = access.revoke(db, key, shell_actor())
    print_done(
        as_json,
        f"The key {key} is refused since {_day(at)}.",
        {"key": key, "revoked_at": stamp(at)},
    )


@keys.command("sessions")
@click.argument("key", metavar="[ID|PREFIX]", required=False)
@as_json
def sessions_(key: str | None, as_json: bool) -> None:
    """Show where people are signed in, with KEY or with any, the newest first."""
    limits = sessions.Limits.of(settings())
    with store() as db:
        rows = sessions.list_sessions(db, limits, access.find_id(db, key) if key else None)
    if as_json:
        print_json(rows)
        return
    headings = ["key", "name", "tenant", "signed in (UTC)", "used (UTC)", "from", "browser"]
    shown = [
        [
            r["key_id"],
            r["key"],
            r["tenant"],
            moment(r["made_at"]),
            moment(r["seen_at"]),
            r["address"],
            r["agent"],
        ]
        for r in rows
    ]
    print_table(headings, shown, "No session is open.")
    if len(rows) == sessions.LISTED_MOST:
        click.echo(
            f"These are the newest {len(rows)}; there may be more. Name a key to see its own."
        )


@keys.command("sign-out")
@click.argument("key", metavar="ID|PREFIX")
@as_json
def sign_out(key: str, as_json: bool) -> None:
    """Sign out every browser that signed in with KEY. The key itself stays good."""
    with store() as db:
        count = access.sign_out(db, key, shell_actor())
    print_done(
        as_json,
        f"{count} session{'' if count == 1 else 's'} ended.",
        {"key": key, "sessions_ended": count},
    )


def _day(time: object) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
