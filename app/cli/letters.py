"""`surefoot dead-letters`: operations that were given up. Read, redrive and discard them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click as click
from sqlalchemy import Engine

from surefoot.app.access.principal import shell_actor
from surefoot.app.cli import completing
from surefoot.app.cli.common import (
    after,
    as_json,
    checked_id,
    find_job,
    moment,
    print_json,
    print_rest,
    print_table,
    publish,
)
from surefoot.app.cli.opening import store
from surefoot.app.config import settings
from surefoot.app.engine.jobs.intake import Entrance
from surefoot.app.engine.jobs.submit import Submitted
from surefoot.app.engine.operators import redrive
from surefoot.app.engine.operators.redrive import RedrivePlan
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.errors import NotFound, RequestError
from surefoot.app.rules.decisions import LetterAction
from surefoot.app.rules.reasons import OF_LETTERS
from surefoot.app.rules.states import LetterState
from surefoot.app.store.dead_letters import DeadLetterFilter
from surefoot.app.store.ids import is_id
from surefoot.app.store.views.counts import count_letters
from surefoot.app.store.views.dead_letters import letter_view, letters_view

PAGE = 200
LOOKED_AT = 1000  # of the newest letters, when one is named by the end of its id
SHORTEST_END = 6

reason = click.option("--reason", required=True, help="Why; it goes into the history.")


@click.group("dead-letters")
def letters() -> None:
    """Operations that were given up: read, redrive and discard them.

    LETTER is an id, or its last characters as the list shows them.
    """


def _filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--job", shell_complete=completing.jobs, help="Only letters of this job."),
        click.option(
            "--needs-person/--lands-by-itself",
            default=None,
            help="Only letters that hold their job, or only the others.",
        ),
        click.option("--why", type=click.Choice(OF_LETTERS), help="Only letters for this reason."),
        click.option("--step", help="Only letters about this step."),
        click.option("--saga", shell_complete=completing.sagas, help="Only letters of this saga."),
    ):
        command = option(command)
    return command


def _meant(
    db: Engine,
    state: str | None,
    saga: str | None,
    step: str | None,
    why: str | None,
    needs_person: bool | None,
    job: str | None,
) -> DeadLetterFilter:
    job_id = find_job(db, job) if job is not None else None
    return DeadLetterFilter(
        state=state, saga=saga, step=step, why=why, needs_person=needs_person, job_id=job_id
    )


@letters.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "closed", "any"]),
    default="open",
    show_default=True,
    help="Only letters in this state.",
)
@_filtered
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE),
    default=50,
    show_default=True,
    help="The most rows to list, newest first.",
)
@after
@as_json
def list_(state: str, limit: int, after: str | None, as_json: bool, **filters: Any) -> None:
    """Show dead letters, newest first."""
    with store() as db:
        meant = _meant(db, None if state == "any" else state, **filters)
        rows, edge = letters_view(db, meant, after_id=checked_id(after), limit=limit)
        total = count_letters(db, meant) if edge else None
    if as_json:
        print_json(rows)
        print_rest(len(rows), edge, total, aside=True)
        return
    shown = [
        [
            row["id"][-12:],
            row["name"],
            row["step"],
            row["kind"],
            row["why"],
            row["attempts"],
            _next(row),
            _message(row["error"]),
        ]
        for row in rows
    ]
    print_table(
        ["letter", "job", "step", "kind", "why", "attempts", "next", "error"],
        shown,
        "There are no such dead letters.",
    )
    print_rest(len(rows), edge, total, aside=False)


def _next(row: dict[str, Any]) -> str:
    if row["state"] == LetterState.CLOSED:
        return f"{row['resolution']} by {row['resolved_by']}"
    return (
        f"redriven {moment(row['redrive']['at'])}" if row["redrive"] else ", ".join(row["actions"])
    )


def _message(error: dict[str, Any] | None) -> str:
    return str((error or {}).get("message") or "")


@letters.command()
@click.argument("letter")
@as_json
def show(letter: str, as_json: bool) -> None:
    """Show a dead letter, and how each of its attempts ended."""
    with store() as db:
        view = letter_view(db, find_letter(db, letter), None)
    if as_json:
        print_json(view)
        return
    click.echo(
        f"{view['id']}  {view['name']}  {view['job']}\n{view['step']}.{view['kind']}: {view['why']}, {_message(view['error'])}"
    )
    click.echo(
        f"  {view['state']}: {_next(view)}"
        + (f" ({view['resolved_why']})" if view["resolved_why"] else "")
    )
    if view["resubmitted_as"]:
        click.echo(f"  resubmitted as {view['resubmitted_as']}")
    shown = [
        [one["attempt"], moment(one["at"]), one["event"], _message(one["error"])]
        for one in view["history"]
    ]
    print_table(["attempt", "ended at (UTC)", "how", "error"], shown, "It was never tried.")


@letters.command("redrive")
@click.argument("letter", required=False)
@_filtered
@click.option(
    "--rate",
    type=click.FloatRange(0, 1000, min_open=True),
    default=10.0,
    show_default=True,
    help="Letters per second.",
)
@click.option(
    "--ramp",
    type=click.FloatRange(0, 86400),
    default=0.0,
    show_default=True,
    help="Seconds until that rate is reached.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Every open letter. Needed without a filter."
)
@click.option("--dry-run", is_flag=True, help="Write nothing; show what would be redriven.")
@reason
@as_json
def redrive_(
    letter: str | None,
    rate: float,
    ramp: float,
    everything: bool,
    dry_run: bool,
    reason: str,
    as_json: bool,
    **filters: Any,
) -> None:
    """Redrive LETTER now; or many, by filter or --all, at a rate.

    Many are scheduled here, and the relay redrives each when its time comes.
    """
    filtered = any(value is not None for value in filters.values())
    if (letter is None) == (not filtered and not everything) or (
        letter is not None and (filtered or everything)
    ):
        raise click.UsageError("name one letter, or say which ones by a filter or --all")
    with store() as db:
        if letter is not None:
            _one(db, find_letter(db, letter), reason, dry_run, as_json)
            return
        meant = _meant(db, LetterState.OPEN, **filters)
        found = redrive.redrive_many(
            db,
            settings(),
            RedrivePlan(meant, rate, ramp),
            Asked(shell_actor(), reason),
            dry_run=dry_run,
        )
    if as_json:
        print_json(
            {
                "letters": list(found.letters),
                "takes_seconds": round(found.takes_s, 3),
                "dry_run": dry_run,
                "more": found.more,
            },
        )
        return
    count = len(found.letters)
    what = f"{count} letter{'' if count == 1 else 's'}"
    done = "would be redriven" if dry_run else "redriven by the relay"
    click.echo(
        f"{what} {done}, the last in {found.takes_s:.0f} s.{' There are more: run this again afterwards.' if found.more else ''}"
    )


def _one(db: Engine, letter_id: str, reason: str, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        view = letter_view(db, letter_id, None)
        told, job_id = (
            (
                "can be redriven"
                if LetterAction.REDRIVE in view["actions"]
                else "cannot be redriven now"
            ),
            view["job"],
        )
    else:
        done = redrive.redrive_letter(
            Entrance.of(db, settings()), letter_id, Asked(shell_actor(), reason)
        )
        publish(db, done.plan)
        view = letter_view(db, letter_id, None)
        again = isinstance(done, Submitted)
        job_id = done.job_id if isinstance(done, Submitted) else view["job"]
        told = (
            f"is resubmitted as the new job {job_id}"
            if again
            else "is redriven with fresh attempts"
        )
    if as_json:
        print_json(view | {"message": told, "runs": job_id, "dry_run": dry_run})
    else:
        click.echo(f"{view['step']} of {view['name']} {told}.")


@letters.command("cancel-redrive")
@_filtered
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every scheduled letter. Needed without a filter.",
)
@reason
@as_json
def cancel_redrive(everything: bool, reason: str, as_json: bool, **filters: Any) -> None:
    """Cancel the scheduled redrive of letters."""
    if not everything and all(value is None for value in filters.values()):
        raise click.UsageError("say which ones by a filter, or --all")
    with store() as db:
        count = redrive.cancel_redrive(
            db, _meant(db, LetterState.OPEN, **filters), shell_actor(), reason
        )
    if as_json:
        print_json({"unscheduled": count})
    else:
        click.echo(f"{count} letter{'' if count == 1 else 's'} unscheduled.")


@letters.command()
@click.argument("letter")
@reason
@as_json
def discard(letter: str, reason: str, as_json: bool) -> None:
    """Discard LETTER: nothing more is done about it. It stays on record."""
    with store() as db:
        letter_id = find_letter(db, letter)
        redrive.discard_letter(db, letter_id, shell_actor(), reason)
        view = letter_view(db, letter_id, None)
    if as_json:
        print_json(view)
    else:
        click.echo(f"{view['step']} of {view['name']} is discarded.")


def find_letter(db: Engine, named: str) -> str:
    """The id of the letter meant. Raises: NotFound; RequestError when several newest letters end
    so.
    """
    if is_id(named):
        return named
    wanted, found, after = named.lower(), list[str](), None
    looked = 0
    while len(wanted) >= SHORTEST_END and looked < LOOKED_AT:
        rows, edge = letters_view(db, DeadLetterFilter(state=None), after_id=after, limit=PAGE)
        found += [row["id"] for row in rows if row["id"].endswith(wanted)]
        looked += len(rows)
        if edge is None:
            break
        after = edge[1]
    if not found:
        raise NotFound(
            f"there is no dead letter {named} (looked at the newest {LOOKED_AT}; the whole id finds any)"
        )
    if len(found) > 1:
        raise RequestError(
            f"{len(found)} letters end in {named}; say the id: {', '.join(found[:5])}"
        )
    return found[0]
