"""`surefoot acts`: what people did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import rich_click as click

from surefoot.app.cli import completing
from surefoot.app.cli.common import as_json, find_job, moment, print_json, print_table
from surefoot.app.cli.opening import store
from surefoot.app.store.acts import Asked
from surefoot.app.store.views.acts import PAGE_ROWS_MOST, acts_view


class Moment(click.ParamType[datetime]):
    """A time such as 2026-11-28, 2026-11-28T10:00 or 2026-11-28T10:00+01:00; without a zone it is
    UTC.
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-11-28T10:00", param, ctx)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@click.group()
def acts() -> None:
    """What people did: actor, key, object and reason.

    Acts cannot be changed.
    """


@acts.command("list")
@click.option(
    "--job",
    shell_complete=completing.jobs,
    help="Only acts about this job, including its part of a request about many letters.",
)
@click.option(
    "--actor", help="Only acts of this actor, as history names them: cli:ada, operator:night shift."
)
@click.option(
    "--since", type=Moment(), help="Only acts from this time on; UTC where no zone is said."
)
@click.option("--until", type=Moment(), help="Only acts before this time.")
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE_ROWS_MOST),
    default=50,
    show_default=True,
    help="The most acts to list, newest first.",
)
@as_json
def list_(
    job: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show the newest acts, newest first."""
    with store() as db:
        asked = Asked(
            job_id=find_job(db, job) if job else None, actor=actor, since=since, until=until
        )
        rows, edge = acts_view(db, asked, limit=limit)
    if as_json:
        print_json(rows)
        return
    shown = [
        [moment(r["at"]), r["actor"], r["key_id"], r["act"], _object(r["object"]), _said(r)]
        for r in rows
    ]
    print_table(
        ["at (UTC)", "actor", "key", "act", "object", "why, and what"],
        shown,
        "There are no such acts.",
    )
    if edge is not None:
        click.echo(
            f"Older acts are left out: --until {edge[0].astimezone(UTC).isoformat()}, or a higher --limit."
        )


def _object(about: dict[str, Any]) -> str:
    return f"{about['kind']} {about['id']}".strip()


def _said(row: dict[str, Any]) -> str:
    details = [f"{name}: {value}" for name, value in (row["details"] or {}).items()]
    return "; ".join([*([row["reason"]] if row["reason"] else []), *details])
