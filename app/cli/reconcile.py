"""`surefoot reconcile`: late jobs, and the account of effects beside what the services say."""

from __future__ import annotations

from typing import Any

import rich_click as click
from sqlalchemy import Engine

from app.access.principal import shell_actor
from app.cli.common import as_json, moment, print_json, print_table, store
from app.config import Settings, settings
from app.engine import late
from app.engine import reconcile as effects
from app.engine.dispatch import Publishes
from app.engine.isolation import Isolated
from app.errors import NotFound
from app.saga.registry import Registry
from app.store import reconciliations
from app.store.ids import is_id
from app.store.session import reading
from app.store.views.reconciliations import PAGE_ROWS_MOST, reconciliations_view

SHORTEST_END = 6


@click.group(invoke_without_command=True)
@click.option("--dry-run", is_flag=True, help="Ask and compare, write and send nothing.")
@click.option("--next", "patrol", is_flag=True, help="Only the next SUREFOOT_RECONCILE_ROWS jobs, from where the last such run stopped.")
@as_json
@click.pass_context
def reconcile(ctx: click.Context, dry_run: bool, patrol: bool, as_json: bool) -> None:
    """Act on jobs past their SLA, and compare the effects on record with what each service says.

    It runs the sagas' effect readers, so it belongs where their code and their services' addresses are.
    """
    if ctx.invoked_subcommand is not None:
        return
    chosen, who = settings(), shell_actor()
    with store() as db:
        acted = [] if patrol else _late(db, chosen, who, dry_run)
        look = effects.patrol if patrol else effects.whole_window
        done = look(db, chosen, Registry.load(chosen.saga_modules), who, dry_run=dry_run)
    found = acted + done.found
    if as_json:
        print_json({"dry_run": dry_run, "looked_at": done.looked_at, "findings": found, "closed": done.closed})
        return
    rows = [[one["finding"], one["action"], one["saga"], one["service"], one["key"]] for one in found]
    print_table(["finding", "action", "saga", "service", "key"], rows, "Nothing new was found.")
    closed = f", {len(done.closed)} closed because both agree" if done.closed else ""
    click.echo(f"{done.looked_at} jobs looked at, {len(found)} findings{closed}.{' Nothing was written.' if dry_run else ''}")


def _late(db: Engine, chosen: Settings, who: str, dry_run: bool) -> list[dict[str, Any]]:
    if dry_run:
        return late.late_jobs(db, chosen.reconcile_rows)
    acted: list[dict[str, Any]] = []
    more, position, isolated = True, "", Isolated()
    while more:
        batch, more = late.act_on_batch(db, chosen, _publisher(chosen), who, isolated)
        acted += batch
    if failed := sum(isolated.failed.values()):
        click.echo(f"{failed} late jobs could not be seen to by this code and were left out; the log says why.", err=True)
    while (position := late.close_landed(db, position, chosen.reconcile_rows, who)) != "":
        pass
    return acted


def _publisher(chosen: Settings) -> Publishes | None:
    if not chosen.broker_url:
        return None  # the relay rings
    from app.delivery.producer import producer_app  # Celery is of no use to commands that only read
    from app.delivery.publisher import Publisher

    return Publisher(producer_app(chosen.broker_url), chosen.publish_pause_seconds)


@reconcile.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones, too.")
@click.option("--limit", type=click.IntRange(1, PAGE_ROWS_MOST), default=50, show_default=True, help="At most so many, newest first.")
@as_json
def list_(everything: bool, limit: int, as_json: bool) -> None:
    """Show what was found, newest first."""
    with store() as db:
        rows, _ = reconciliations_view(db, None, only_open=not everything, limit=limit)
    if as_json:
        print_json(rows)
        return
    shown = [[r["id"][-12:], moment(r["at"]), r["finding"], r["action"], r["saga"], r["service"], r["closed_by"], r["key"]] for r in rows]
    print_table(["id", "at", "finding", "action", "saga", "service", "closed by", "key"], shown, "Nothing is open.")


@reconcile.command()
@click.argument("finding")
@click.option("--why", required=True, help="Why; it goes on record.")
def close(finding: str, why: str) -> None:
    """Close FINDING (its id, or the end of it): a person has seen to it. What still disagrees is found again."""
    with store() as db:
        closed = effects.close(db, _find(db, finding), shell_actor(), why)
    click.echo("It is closed." if closed else "It was closed already.")


def _find(db: Engine, named: str) -> str:
    if is_id(named):
        with reading(db) as connection:
            if reconciliations.one(connection, named) is not None:
                return named
    rows, _ = reconciliations_view(db, None, limit=PAGE_ROWS_MOST)
    found = [row["id"] for row in rows if len(named) >= SHORTEST_END and row["id"].endswith(named.lower())]
    if len(found) != 1:
        raise NotFound(f"there is no open finding {named}" if not found else f"{len(found)} findings end in {named}; say the id")
    return str(found[0])
