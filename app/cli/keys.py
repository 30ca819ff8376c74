"""`surefoot keys`: who may speak to the HTTP interface."""

from __future__ import annotations

import rich_click as click

from app.access import keys as access
from app.access.principal import Role
from app.access.tenants import DEFAULT
from app.cli.common import as_json, print_json, print_table, store


@click.group()
def keys() -> None:
    """API keys. A key is shown once, when it is made."""


@keys.command()
@click.option("--tenant", default=DEFAULT, show_default=True, help="Whose jobs it may see; made when there is none of that name.")
@click.option("--role", type=click.Choice([str(role) for role in Role]), default=str(Role.USER), show_default=True)
@click.option("--name", default="", help="What it is for, as lists show it.")
@as_json
def create(tenant: str, role: str, name: str, as_json: bool) -> None:
    """Make a key and print it. It is the only time."""
    with store() as db:
        key_id, key = access.create(db, tenant, role, name)
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
    shown = [[r["id"], r["prefix"], r["tenant"], r["role"], r["name"], _day(r["created_at"]), _day(r["revoked_at"])] for r in rows]
    print_table(headings, shown, "There are no keys. Make one with: surefoot keys create")


@keys.command()
@click.argument("key", metavar="ID|PREFIX")
def revoke(key: str) -> None:
    """Refuse a key from now on."""
    with store() as db:
        at = access.revoke(db, key)
    click.echo(f"The key {key} is refused since {_day(at)}.")


def _day(time: object) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
