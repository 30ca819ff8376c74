"""`surefoot drill`: every fault on every operation of a saga."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click
import structlog
from click.exceptions import Exit

from surefoot.app.cli import completing
from surefoot.app.cli.common import as_json, print_json, print_table
from surefoot.app.config import settings
from surefoot.app.errors import UnknownSaga
from surefoot.app.saga.naming import did_you_mean
from surefoot.app.saga.registry import Registry

if TYPE_CHECKING:
    from surefoot.app.drill.row import Row
    from surefoot.app.drill.table import Report, Result
    from surefoot.app.saga.definition import Saga


@click.command()
@click.argument("saga", shell_complete=completing.local_sagas)
@click.option(
    "--only",
    metavar="WHAT",
    help="Only this row, group or operation (or all rows whose name holds this text).",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the random choices, such as the next message.",
)
@click.option(
    "--real",
    is_flag=True,
    help="On real processes with real signals, a store and a broker of their own; takes minutes.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(10, 36000),
    default=600.0,
    show_default=True,
    help="With --real: start no row later than this.",
)
@click.option("--list", "list_", is_flag=True, help="Show the rows without running them.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@as_json
def drill(
    saga: str,
    only: str | None,
    seed: int,
    real: bool,
    seconds: float,
    list_: bool,
    markdown: bool,
    as_json: bool,
) -> None:
    """Try every fault on every operation of SAGA.

    Checks that every job lands as it must. Runs on databases of its own and calls nothing real:
    the saga says in what world it may be drilled. Ends with 1 when a row failed, and then prints
    the shortest schedule that did, and the command that plays it again.
    """
    from surefoot.app.drill import report, run

    known = Registry.load(settings().saga_modules)
    meant = known.get(saga)
    if meant is None:
        raise UnknownSaga(
            f"no saga is called {saga!r}.{did_you_mean(saga, sorted({s.name for s in known.all()}))}"
        )
    if list_:
        rows = [[row.name, row.group, row.fault] for row in run.plan(meant, only)]
        if as_json:
            print_json([dict(zip(("row", "group", "fault"), row, strict=True)) for row in rows])
            return
        print_table(["row", "group", "fault"], rows, "There is none.")
        return
    drawn = _drilled(meant, seed, only, seconds if real else None)
    if as_json:
        print_json(drawn.to_json())
    elif markdown:
        click.echo(report.markdown(drawn), nl=False)
    else:
        report.show(drawn)
    if drawn.failed:
        raise Exit(1)


def _drilled(saga: Saga[Any], seed: int, only: str | None, real_seconds: float | None) -> Report:
    from surefoot.app.drill import run
    from surefoot.app.supervisor.supervisor import Stopped

    # Every fault makes the engine warn, and all of them are meant.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    watch = run.Watch(*_narrator())
    if real_seconds is None:
        return run.drill(saga, seed=seed, only=only, watch=watch)
    try:
        return run.drill_real(saga, seed=seed, only=only, seconds=real_seconds, watch=watch)
    except Stopped:
        raise KeyboardInterrupt from None  # everything has been taken away by now


def _narrator() -> tuple[Callable[[Row], None], Callable[[Result], None]]:
    """On standard error, the row under way, so that one that hangs has a name, and each row that
    failed.

    A terminal has one line that is written over; a file gets a line for each job.
    """
    terminal = sys.stderr.isatty()
    before, after = ("\r\x1b[2K", "") if terminal else ("", "\n")

    def begins(row: Row) -> None:
        click.echo(f"{before}{row.name}{after}", nl=False, err=True)

    def ended(result: Result) -> None:
        failed = "" if result.passed else f"FAIL {result.row.name}\n"
        click.echo(before + failed if terminal else failed, nl=False, err=True)

    return begins, ended
