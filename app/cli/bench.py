"""`surefoot bench`."""

from __future__ import annotations

import rich_click as click

from surefoot.app.cli.common import as_json, print_json
from surefoot.app.config import settings

ROUNDS_S, GROWTH_S = 150.0, 900.0


@click.command()
@as_json
@click.option(
    "--rounds",
    type=click.IntRange(1, 20),
    default=5,
    show_default=True,
    help="The most rounds; each runs every row once.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 2000),
    help="Jobs of a batch (as many as fit in a second and a half).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(10, 7200),
    help="No round that ends later (150; 900 with --growth).",
)
@click.option(
    "--growth",
    is_flag=True,
    help="Instead: does anything cost more when there is more of it? Ten minutes.",
)
@click.option(
    "--polling",
    is_flag=True,
    help="Instead: what does a poll cost beside a request that does nothing? A minute.",
)
@click.option(
    "--rows",
    type=click.IntRange(1000, 10_000_000),
    default=1_000_000,
    show_default=True,
    help="Finished jobs, with --growth.",
)
def bench(
    as_json: bool,
    rounds: int,
    jobs: int | None,
    seconds: float | None,
    growth: bool,
    polling: bool,
    rows: int,
) -> None:
    """Measure what durability costs beside plain Celery.

    Sagas and plain Celery run on the same broker, store and number of workers. Takes under three
    minutes. Runs in a home of its own and touches no job of yours: on the PostgreSQL of
    DATABASE_URL it makes a database for itself, in the Redis of BROKER_URL it takes two empty
    ones; without them, SQLite and a Redis of its own.
    """
    if growth and polling:
        raise click.UsageError("--growth or --polling, one at a time.")
    if growth:
        _growth(as_json, rows, seconds or GROWTH_S)
        return
    if polling:
        _polling(as_json)
        return
    from surefoot.app.bench import report
    from surefoot.app.bench import run as running
    from surefoot.app.supervisor.supervisor import Stopped

    try:
        result = running.bench(
            settings(),
            running.Plan(rounds, jobs, seconds or ROUNDS_S),
            say=lambda line: click.echo(line, err=True),
        )
    except Stopped:
        raise KeyboardInterrupt from None  # everything has been taken away by now
    if as_json:
        print_json(report.as_json(result))
    else:
        report.show(result)


def _growth(as_json: bool, rows: int, seconds: float) -> None:
    from surefoot.app.bench import growth, growth_report

    found = growth.grow(
        settings(),
        growth.Extent(rows=rows, seconds=seconds),
        say=lambda line: click.echo(line, err=True),
    )
    if as_json:
        print_json(growth_report.as_json(found))
    else:
        growth_report.show(found)


def _polling(as_json: bool) -> None:
    from surefoot.app.bench import polling

    found = polling.poll(settings(), polling.Extent(), say=lambda line: click.echo(line, err=True))
    if as_json:
        print_json(polling.as_json(found))
    else:
        polling.show(found)
