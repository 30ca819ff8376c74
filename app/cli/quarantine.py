"""`surefoot quarantine`: messages that nobody can run."""

from __future__ import annotations

import rich_click as click

from surefoot.app.access.principal import shell_actor
from surefoot.app.cli.common import (
    after,
    as_json,
    checked_id,
    moment,
    print_done,
    print_json,
    print_rest,
    print_table,
)
from surefoot.app.cli.opening import store
from surefoot.app.store.views.quarantine import discard_message, message_view, quarantine_view

PAGE = 200


@click.group()
def quarantine() -> None:
    """Messages that no worker can run, with their reasons.

    They were acknowledged, and are never tried again.
    """


@quarantine.command("list")
@click.option(
    "--state",
    type=click.Choice(["kept", "discarded"]),
    default="kept",
    show_default=True,
    help="Only messages in this state.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE),
    default=50,
    show_default=True,
    help="The most rows to list, newest first.",
)
@after
@as_json
def list_(state: str, limit: int, after: str | None, as_json: bool) -> None:
    """Show them, newest first."""
    discarded = state == "discarded"
    with store() as db:
        rows, edge = quarantine_view(
            db, None, discarded=discarded, after_id=checked_id(after), limit=limit
        )
    if as_json:
        print_json(rows)
        print_rest(len(rows), edge, None, aside=True)
        return
    shown = [
        [row["id"], moment(row["at"]), row["queue"], row["size"], row["reason"]] for row in rows
    ]
    print_table(
        ["message", "came at (UTC)", "queue", "bytes", "reason"], shown, "Nothing is in quarantine."
    )
    print_rest(len(rows), edge, None, aside=False)


@quarantine.command()
@click.argument("message")
@as_json
def show(message: str, as_json: bool) -> None:
    """Show MESSAGE with its headers and the beginning of its body."""
    with store() as db:
        view = message_view(db, message, None)
    if as_json:
        print_json(view)
        return
    click.echo(f"{view['id']}  {view['queue']}  {moment(view['at'])}\n{view['reason']}")
    print_table(["header", "value"], list(view["headers"].items()), "It has no headers.")
    click.echo(view["body"])


@quarantine.command()
@click.argument("message")
@click.option("--reason", required=True, help="Why; it is kept with it.")
@as_json
def discard(message: str, reason: str, as_json: bool) -> None:
    """Discard MESSAGE; it stays on record."""
    with store() as db:
        discard_message(db, message, None, shell_actor(), reason)
        view = message_view(db, message, None)
    print_done(as_json, f"{message} is off the list.", view)
