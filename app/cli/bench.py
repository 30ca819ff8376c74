"""`surefoot bench`."""

from __future__ import annotations

import rich_click as click

from app.cli.common import as_json, print_json
from app.config import settings


@click.command()
@as_json
@click.option("--rounds", type=click.IntRange(1, 20), default=5, show_default=True, help="Rounds at most; each runs every row once.")
@click.option("--jobs", type=click.IntRange(1, 2000), help="Jobs of a batch (as many as fit in a second and a half).")
@click.option("--seconds", type=click.FloatRange(10, 3600), default=150.0, show_default=True, help="No round that ends later.")
def bench(as_json: bool, rounds: int, jobs: int | None, seconds: float) -> None:
    """Measure what durability costs: sagas beside plain Celery on the same broker, store and number of workers.

    Takes under three minutes. Runs in a home of its own and touches no job of yours: on the PostgreSQL of DATABASE_URL it
    makes a database for itself, in the Redis of BROKER_URL it takes two empty ones; without them, SQLite and a Redis of its own.
    """
    from app.bench import report
    from app.bench import run as running
    from app.supervisor.supervisor import Stopped

    try:
        result = running.bench(settings(), running.Plan(rounds, jobs, seconds), say=lambda line: click.echo(line, err=True))
    except Stopped:
        raise KeyboardInterrupt from None  # everything has been taken away by now
    if as_json:
        print_json(report.as_json(result))
    else:
        report.show(result)
