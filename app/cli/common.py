"""What the commands about jobs share: the store, the broker, who is asking, which job is meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from surefoot.app.cli import completing
from surefoot.app.config import settings
from surefoot.app.engine.jobs.dispatch import publish_plan
from surefoot.app.errors import NotFound, RequestError
from surefoot.app.rules.planner import Plan
from surefoot.app.store.ids import is_id
from surefoot.app.store.views import jobs_called
from surefoot.app.store.views.counts import Count
from surefoot.app.store.views.lookup import SHORTEST_START

PIPE_WIDTH = 1000

after = click.option("--after", metavar="ID", help="Continue after this row, as the list says.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def job_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument JOB: an id, the start of one, or a short name such as order-7K3F."""
    return click.argument("job", metavar="JOB", shell_complete=completing.jobs)(command)


saga_option = click.option(
    "--saga", shell_complete=completing.sagas, help="Only jobs of this saga."
)


def publish(db: Engine, plan: Plan) -> None:
    """Ring the plan's messages; the relay does it when the broker is not there, or none is known
    here.
    """
    if plan and settings().broker_url:
        from surefoot.app.delivery.producer import (
            producer_app,  # Celery is of no use to commands that only read
        )
        from surefoot.app.delivery.publisher import Publisher

        publish_plan(db, Publisher(producer_app(settings().broker_url)), plan)


def find_job(db: Engine, named: str) -> str:
    """The id of the job meant.

    Raises: NotFound; RequestError when several jobs are named so.
    """
    if is_id(named):
        return named
    found = [str(row["id"]) for row in jobs_called(db, named, None)]
    if not found:
        raise NotFound(
            f"there is no job {named}: say its id, its first {SHORTEST_START} characters or more, or its short name such as order-7K3F"
        )
    if len(found) > 1:
        raise RequestError(
            f"{len(found)} jobs are named {named}; say the id: {', '.join(found[:5])}"
        )
    return found[0]


def checked_id(text: str | None) -> str | None:
    """Raises: RequestError for what cannot be an id."""
    if text is not None and not is_id(text):
        raise RequestError(f"--after takes the whole id of a row, not {text}")
    return text


def print_json(value: Any) -> None:
    """For programs: one document, as the HTTP interface would give it."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_done(as_json: bool, said: str, done: dict[str, Any]) -> None:
    """What an act has done: a sentence for people; for programs what it acted on as it stands now,
    with the sentence as `message`.
    """
    if as_json:
        print_json(done | {"message": said})
    else:
        click.echo(said)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """For people. Only the last column is folded, and only on a terminal: names and ids are there
    to be copied.
    """
    if not rows:
        click.echo(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*("-" if value in (None, "") else str(value) for value in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def print_rest(
    shown: int, edge: tuple[Any, str] | None, total: Count | None, *, aside: bool
) -> None:
    """Say what a list left out. `edge`: of its last row; `aside`: on stderr, beside JSON."""
    if edge is not None:
        of = f" of {total.shown}" if total is not None else ""
        click.echo(f"{shown}{of} shown, newest first. The next ones: --after {edge[1]}", err=aside)


def moment(stamp: str | None) -> str:
    """An RFC 3339 time as people read it: without the T, to the second, still UTC."""
    return "-" if stamp is None else stamp[:19].replace("T", " ")
