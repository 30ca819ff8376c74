"""`surefoot locks`: which business records jobs have to themselves, and who waits for them."""

from __future__ import annotations

import rich_click as click

from surefoot.app.cli.common import as_json, moment, print_json, print_table
from surefoot.app.cli.opening import store
from surefoot.app.store.views import locks_view

NAMED = 3  # of the jobs that wait, so many are named in the table


@click.group()
def locks() -> None:
    """Semantic locks: which jobs hold and wait for which business records.

    A job holds its keys from its first step to its end, also in attention.
    """


@locks.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 200),
    default=200,
    show_default=True,
    help="The most keys to list.",
)
@click.option("--after", default="", help="Continue here, as the previous page says.")
@as_json
def list_(limit: int, after: str, as_json: bool) -> None:
    """Show every key that is held or waited for, in order."""
    with store() as db:
        page = locks_view(db, None, after=after, limit=limit)
    if as_json:
        print_json(page)
        return
    rows = []
    for item in page["items"]:
        holder = item["held_by"] or {}
        names = [waiter["job"]["name"] for waiter in item["queue"][:NAMED]]
        more = item["waiting"] - len(names)
        line = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        rows.append(
            [
                item["key"],
                item["tenant"] or "(all)",
                holder.get("name"),
                holder.get("state"),
                moment(item["since"]),
                line,
            ]
        )
    print_table(
        ["key", "tenant", "held by", "state", "since", "waiting"],
        rows,
        "No lock is held, and no job waits for one.",
    )
    if page["next"] is not None:
        click.echo(f"There are more: --after {page['next']}")
