"""`surefoot simulate`: everything that can go wrong, in one process, from one number."""

from __future__ import annotations

from typing import Any

import rich_click as click
from click.exceptions import Exit

from surefoot.app.cli.common import as_json, print_json


def _of_postgresql(_context: Any, _option: Any, url: str | None) -> str | None:
    if url is not None and not url.startswith("postgres"):
        raise click.BadParameter("it has the form postgresql://user@host:port/database")
    return url


@click.command()
@click.option(
    "--schedules",
    type=click.IntRange(1, 10_000_000),
    default=1000,
    show_default=True,
    help="How many to run.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes (as many as there are cores).")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The first schedule's number; the others follow it.",
)
@click.option(
    "--postgresql",
    metavar="URL",
    callback=_of_postgresql,
    help="A database of PostgreSQL: there runs a part of them, in a schema that is dropped afterwards.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    help="With --postgresql: those whose number this divides run there (9).",
)
@as_json
def simulate(
    schedules: int,
    jobs: int | None,
    seed: int,
    postgresql: str | None,
    every: int | None,
    as_json: bool,
) -> None:
    """Run random sagas under random faults, in one process.

    The real engine on an in-memory store, with time, broker and processes simulated. Ends with 1
    when an invariant was broken or a job did not land, and shows the shortest schedule that does
    it. The same number gives the same schedule. Needs no server and touches no job of yours;
    --postgresql runs the statements that only PostgreSQL runs, too.
    """
    import psycopg

    from surefoot.app.simulation import run

    jobs = min(jobs or run.cores(), schedules)
    elsewhere = run.Elsewhere(postgresql, every or run.EVERY) if postgresql else None
    told = None if as_json or schedules < 1000 else _progress
    try:
        tally = run.simulate(schedules, seed=seed, jobs=jobs, told=told, elsewhere=elsewhere)
    except psycopg.Error as error:
        raise click.ClickException(f"--postgresql: {error}") from error
    if as_json:
        print_json(_as_json(tally))
    else:
        for line in _lines(tally):
            click.echo(line)
    if tally.failures:
        raise Exit(1)


def _progress(tally: Any) -> None:
    if tally.schedules % 1000 == 0:
        click.echo(
            f"{tally.schedules} schedules, {tally.actions} actions, {tally.seconds:.0f} s", err=True
        )


def _lines(tally: Any) -> list[str]:
    lines = [
        f"{tally.schedules} schedules, {tally.actions} actions in {tally.seconds:.1f} s: "
        + (
            click.style(f"{len(tally.failures)} failed", fg="red")
            if tally.failures
            else click.style("all land", fg="green")
        ),
        *([f"{tally.on_postgresql} of them on PostgreSQL"] if tally.on_postgresql else []),
        f"done:    {_counts(tally.faults)}",
        f"answers: {_counts(tally.answers)}",
        f"ends:    {_counts(tally.ends)}",
    ]
    if tally.never_passed and tally.schedules >= 1000:
        lines.append(f"points that no schedule came to: {', '.join(tally.never_passed)}")
    if tally.never_died and tally.schedules >= 1000:
        lines.append(f"points where nobody died: {', '.join(tally.never_died)}")
    if tally.failures:
        lines += [
            "",
            *story(tally.failures[0]),
            "",
            f"all that failed: {', '.join(str(o.seed) for o in tally.failures)}",
        ]
    return lines


def story(outcome: Any) -> list[str]:
    """A failed schedule for people: the saga, what was done, what is wrong, and how to see it
    again.
    """
    return [
        click.style(f"seed {outcome.seed}: {outcome.problems[0]}", fg="red"),
        *(f"  {problem}" for problem in dict.fromkeys(outcome.problems[1:])),
        "the saga:",
        *(f"  {plan}" for plan in outcome.plans),
        f"the schedule, cut down to {len(outcome.actions)} actions (it shows {_PHASE[outcome.phase]}):",
        *(f"  {number:>2}. {line}" for number, line in enumerate(outcome.trace, 1)),
        f"again: surefoot simulate --schedules 1 --seed {outcome.seed}"
        + (" --every 1 --postgresql URL" if outcome.on_postgresql else ""),
    ]


_PHASE = {"safety": "at once", "liveness": "after everything was healed"}


def _counts(counter: Any) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


def _as_json(tally: Any) -> dict[str, Any]:
    failed = tally.failures[0] if tally.failures else None
    return {
        "schedules": tally.schedules,
        "on_postgresql": tally.on_postgresql,
        "actions": tally.actions,
        "seconds": round(tally.seconds, 3),
        "faults": dict(tally.faults),
        "answers": dict(tally.answers),
        "ends": dict(tally.ends),
        "points_never_passed": tally.never_passed,
        "points_nobody_died_at": tally.never_died,
        "failed_seeds": [outcome.seed for outcome in tally.failures],
        "shortest": None
        if failed is None
        else {
            "seed": failed.seed,
            "phase": failed.phase,
            "problems": failed.problems,
            "saga": [str(plan) for plan in failed.plans],
            "schedule": failed.trace,
        },
    }
