"""`surefoot reconcile`: late jobs, and the account of effects beside what the services say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rich_click as click
from click.exceptions import Exit
from sqlalchemy import Engine

from surefoot.app.access.principal import shell_actor
from surefoot.app.cli import completing
from surefoot.app.cli.common import (
    after,
    as_json,
    checked_id,
    find_job,
    moment,
    print_done,
    print_json,
    print_rest,
    print_table,
)
from surefoot.app.cli.opening import store
from surefoot.app.config import Settings, settings
from surefoot.app.engine.isolation import Isolated
from surefoot.app.engine.jobs.dispatch import Publishes
from surefoot.app.engine.operators import sla
from surefoot.app.engine.reconcile import findings, restored
from surefoot.app.engine.reconcile import run as effects
from surefoot.app.engine.reconcile.findings import UndoAsked
from surefoot.app.engine.reconcile.run import Scope
from surefoot.app.errors import NotFound
from surefoot.app.rules.findings import FindingAction
from surefoot.app.rules.findings import shown as finding_shown
from surefoot.app.saga.registry import Registry
from surefoot.app.store import acts, reconciliations
from surefoot.app.store.acts import Act
from surefoot.app.store.ids import is_id
from surefoot.app.store.session import execute_single, reading
from surefoot.app.store.views.reconciliations import PAGE_ROWS_MOST, reconciliations_view

SHORTEST_END = 6


@click.group(invoke_without_command=True)
@click.option("--dry-run", is_flag=True, help="Ask and compare, write and send nothing.")
@click.option(
    "--after-restore",
    is_flag=True,
    help="Ask the services of every saga, and say what to do about each open finding.",
)
@click.option(
    "--next",
    "patrol",
    is_flag=True,
    help="Only the next SUREFOOT_RECONCILE_ROWS jobs, from where the last such run stopped.",
)
@as_json
@click.pass_context
def reconcile(
    ctx: click.Context, dry_run: bool, after_restore: bool, patrol: bool, as_json: bool
) -> None:
    """Act on late jobs, and compare effects with what each service says.

    A late job is past its SLA. The effects on record are compared. It runs the sagas' effect
    readers, so it belongs where their code and their services' addresses are.
    """
    if ctx.invoked_subcommand is not None:
        return
    if after_restore:
        _after_restore(dry_run, as_json)
        return
    chosen = settings()
    who = str(
        shell_actor()
    )  # what it finds and closes by itself is not an act; that it was run is one
    with store() as db:
        if not dry_run:
            _note_run(db, "the next jobs" if patrol else "the whole window")
        acted = [] if patrol else _late(db, chosen, who, dry_run)
        look = effects.patrol if patrol else effects.whole_window
        scope = effects.Scope(dry_run=dry_run)
        done = look(db, chosen, Registry.load(chosen.saga_modules), who, scope)
    found = [_in_words(one) for one in acted + done.found]
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "looked_at": done.looked_at,
                "findings": found,
                "closed": done.closed,
            }
        )
        return
    rows = [
        [one["finding"], one["action"], one["saga"], one["service"], one["key"]] for one in found
    ]
    print_table(["finding", "action", "saga", "service", "key"], rows, "Nothing new was found.")
    closed = f", {len(done.closed)} closed because both agree" if done.closed else ""
    click.echo(
        f"{done.looked_at} jobs looked at, {len(found)} findings{closed}.{' Nothing was written.' if dry_run else ''}"
    )


def _note_run(db: Engine, what: str) -> None:
    act = Act("reconcile", "reconciliation", "", details={"what": what})
    execute_single(db, lambda tx: acts.note(tx, shell_actor(), act))


def _after_restore(dry_run: bool, as_json: bool) -> None:
    chosen = settings()
    with store() as db:
        registry = Registry.load(chosen.saga_modules)
        if not dry_run:
            _note_run(db, "after a restore")
        done = effects.whole_window(
            db, chosen, registry, str(shell_actor()), Scope(thorough=True, dry_run=dry_run)
        )
        found = done.found if dry_run else restored.open_findings(db)
        advised = restored.advise(db, registry, found)
    lost = restored.lost_between(found)
    if as_json:
        shown = [
            {**_shown(one), "advice": {"act": advice.act, "why": advice.why}}
            for one, advice in advised
        ]
        between = [end.isoformat() for end in lost] if lost else None
        print_json(
            {
                "dry_run": dry_run,
                "looked_at": done.looked_at,
                "lost_between": between,
                "findings": shown,
            }
        )
        return
    rows = [
        [
            str(one.get("id", ""))[-12:],
            a.act,
            finding_shown(one["finding"]),
            one["service"],
            one["key"],
            a.why,
        ]
        for one, a in advised
    ]
    print_table(
        ["id", "do", "finding", "service", "key", "why"],
        rows,
        "Services and store agree: there is nothing to do.",
    )
    if lost:
        click.echo(
            f"The lost jobs with effects were accepted between {lost[0]:%Y-%m-%d %H:%M:%S} and {lost[1]:%Y-%m-%d %H:%M:%S} UTC. Their"
        )
        click.echo(
            "idempotency keys are lost, too: a request that is sent again makes a new job, with effects of its own."
        )
    for act in ("undo", "adopt"):
        count = sum(advice.act == act for _, advice in advised)
        if count:
            click.echo(f'surefoot reconcile {act} --advised --why "..."   # all {count} of these')


def _shown(finding: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "id",
        "finding",
        "action",
        "job_id",
        "saga",
        "step",
        "item",
        "service",
        "key",
        "detail",
    )
    return _in_words({name: finding.get(name) for name in names})


def _in_words(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding with the name that people read."""
    return {**finding, "finding": finding_shown(finding["finding"])}


def _late(db: Engine, chosen: Settings, who: str, dry_run: bool) -> list[dict[str, Any]]:
    if dry_run:
        return sla.late_jobs(db, chosen.reconcile_rows)
    acted: list[dict[str, Any]] = []
    more, position, isolated = True, "", Isolated()
    while more:
        batch, more = sla.act_on_batch(db, chosen, _publisher(chosen), who, isolated)
        acted += batch
    if failed := sum(isolated.failed.values()):
        click.echo(
            f"{failed} late jobs could not be handled by this code and were skipped; the log says why.",
            err=True,
        )
    while (position := sla.close_landed(db, position, chosen.reconcile_rows, who)) != "":
        pass
    return acted


def _publisher(chosen: Settings) -> Publishes | None:
    if not chosen.broker_url:
        return None  # the relay rings
    from surefoot.app.delivery.producer import (
        producer_app,  # Celery is of no use to commands that only read
    )
    from surefoot.app.delivery.publisher import Publisher

    return Publisher(producer_app(chosen.broker_url), chosen.publish_pause_seconds)


@reconcile.command("list")
@click.option("--all", "everything", is_flag=True, help="Include closed findings.")
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE_ROWS_MOST),
    default=50,
    show_default=True,
    help="The most rows to list, newest first.",
)
@after
@as_json
def list_(everything: bool, limit: int, after: str | None, as_json: bool) -> None:
    """Show what was found, newest first."""
    with store() as db:
        rows, edge = reconciliations_view(
            db, None, only_open=not everything, after_id=checked_id(after), limit=limit
        )
    if as_json:
        print_json(rows)
        print_rest(len(rows), edge, None, aside=True)
        return
    shown = [
        [
            r["id"][-12:],
            moment(r["at"]),
            r["finding"],
            r["action"],
            r["saga"],
            r["service"],
            r["closed_by"],
            r["key"],
        ]
        for r in rows
    ]
    print_table(
        ["id", "at (UTC)", "finding", "action", "saga", "service", "closed by", "key"],
        shown,
        "Nothing is open.",
    )
    print_rest(len(rows), edge, None, aside=False)


@reconcile.command()
@click.argument("finding")
@click.option("--why", required=True, help="Why; it goes on record.")
@as_json
def close(finding: str, why: str, as_json: bool) -> None:
    """Close FINDING (its id, or the end of it): a person has handled it. What still disagrees is
    found again.
    """
    with store() as db:
        meant = _find(db, finding)
        closed = findings.close(db, meant, shell_actor(), why)
    print_done(
        as_json,
        "It is closed." if closed else "It was closed already.",
        {"id": meant, "closed": closed},
    )


@reconcile.command()
@click.argument("named", metavar="[FINDING]...", nargs=-1)
@click.option("--why", required=True, help="Why; it goes on record.")
@click.option(
    "--job",
    shell_complete=completing.jobs,
    help="The job that accounts for it; its history says so.",
)
@click.option("--advised", is_flag=True, help="Every finding for which --after-restore advises it.")
@as_json
def adopt(named: tuple[str, ...], why: str, job: str | None, advised: bool, as_json: bool) -> None:
    """Adopt FINDING: the effect is right, and is not found again."""
    with store() as db:
        meant = _meant(db, named, restored.ADOPT if advised else None)
        job_id = find_job(db, job) if job else None
        adopted = [one for one in meant if findings.adopt(db, one, shell_actor(), why, job_id)]
    print_done(
        as_json,
        f"{len(adopted)} of {len(meant)} adopted.",
        {"adopted": adopted, "asked_for": meant},
    )


@reconcile.command()
@click.argument("named", metavar="[FINDING]...", nargs=-1)
@click.option("--why", required=True, help="Why; it goes on record.")
@click.option("--advised", is_flag=True, help="Every finding for which --after-restore advises it.")
@click.option(
    "--past-return",
    is_flag=True,
    help="Undo it even if its lost job was past the point of no return.",
)
@as_json
def undo(named: tuple[str, ...], why: str, advised: bool, past_return: bool, as_json: bool) -> None:
    """Undo an effect in a service, by the undo that its saga registers. Runs the saga's code, so it
    belongs where that is.

    The decision is recorded first: what fails now is retried by the next reconciliation.
    """
    chosen = settings()
    with store() as db:
        registry = Registry.load(chosen.saga_modules)
        meant = _meant(db, named, FindingAction.UNDO if advised else None)
        failed = {
            one: told
            for one in meant
            if (
                told := findings.undo(
                    db, registry, one, UndoAsked(shell_actor(), why, past_return=past_return)
                )
            )
        }
    for one, told in failed.items():
        click.echo(f"{one[-12:]}: not undone yet: {told}", err=True)
    undone = [one for one in meant if one not in failed]
    print_done(
        as_json, f"{len(undone)} of {len(meant)} undone.", {"undone": undone, "not_undone": failed}
    )
    raise Exit(1 if failed else 0)


def _meant(db: Engine, named: Sequence[str], advised: str | None) -> list[str]:
    """Ids of the findings that are named, or of those with this advice, in the order in which to
    act.
    """
    if bool(named) == (advised is not None):
        raise click.UsageError("name findings, or say --advised")
    if advised is None:
        return [_find(db, one) for one in named]
    found = restored.advise(db, Registry.load(settings().saga_modules), restored.open_findings(db))
    return [str(one["id"]) for one, advice in found if advice.act == advised]


def _find(db: Engine, named: str) -> str:
    if is_id(named):
        with reading(db) as connection:
            if reconciliations.one(connection, named) is not None:
                return named
    rows, _ = reconciliations_view(db, None, limit=PAGE_ROWS_MOST)
    found = [
        row["id"]
        for row in rows
        if len(named) >= SHORTEST_END and row["id"].endswith(named.lower())
    ]
    if len(found) != 1:
        raise NotFound(
            f"there is no open finding {named}"
            if not found
            else f"{len(found)} findings end in {named}; say the id"
        )
    return str(found[0])
