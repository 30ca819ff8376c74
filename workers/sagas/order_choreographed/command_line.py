"""The commands that the choreographed order adds: `surefoot choreography …` and `surefoot
timeline`.
"""

from __future__ import annotations

import json
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import Row

from surefoot.app.access.principal import shell_actor
from surefoot.workers.sagas.order_choreographed import desk
from surefoot.workers.sagas.order_choreographed.service import Service
from surefoot.workers.sagas.order_choreographed.services import SERVICES
from surefoot.workers.sagas.order_choreographed.timeline import Said, Timeline, read_timeline

NAMES = [service.name for service in SERVICES]
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def choreography() -> None:
    """The services of the order without a coordinator: run them, answer letters."""


@choreography.command()
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(NAMES),
    help="Run this service only (may be given several times).",
)
def serve(only: tuple[str, ...]) -> None:
    """Run the four services, which react to each other's events over the broker of BROKER_URL."""
    from surefoot.workers.sagas.order_choreographed.server import (
        serve as run,  # the broker's code is of no use to the other commands
    )

    run(only)


@choreography.command("letters")
@as_json_option
def list_letters(as_json: bool) -> None:
    """Show what the services could not do: each keeps its letters in its own database."""
    found = [(service.name, row) for service in SERVICES for row in _open_letters(service)]
    if as_json:
        rows = [
            {
                "letter": f"{name}/{row.id}",
                **{k: v for k, v in row._mapping.items() if k not in _HIDDEN},
            }
            for name, row in found
        ]
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    if not found:
        click.echo("No service has given anything up.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Letter", "Order", "Event", "Attempts", "Person"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Error", overflow="fold")
    for name, row in found:
        needs = "asked" if row.needs_person else "-"
        table.add_row(
            f"{name}/{row.id}", row.job or "-", row.kind, str(row.attempts), needs, row.error
        )
    Console(highlight=False, markup=False).print(table)


@choreography.command()
@click.argument("letter")
@click.option("--reason", required=True, help="Why; it is kept on record.")
@as_json_option
def redrive(letter: str, reason: str, as_json: bool) -> None:
    """Send the event of LETTER (such as payments/3) back to its service, with fresh attempts."""
    service, number = _letter(letter)
    if not service.redrive(number, shell_actor(), reason):
        raise click.ClickException(
            f"{letter} is answered already, or there is no event to redrive."
        )
    _tell_done(letter, "is redriven with fresh attempts", as_json)


@choreography.command()
@click.argument("letter")
@click.option("--reason", required=True, help="Why; it is kept on record.")
@as_json_option
def discard(letter: str, reason: str, as_json: bool) -> None:
    """Close LETTER: its event is not handled, and no order waits for that any longer.

    An order that was given up is voided, one that was confirmed is completed, without what was
    waived; its job asks a person, unless nothing is left undone.
    """
    service, number = _letter(letter)
    if not service.discard(number, shell_actor(), reason):
        raise click.ClickException(f"{letter} is answered already.")
    _tell_done(letter, "is closed", as_json)


@click.command()
@click.argument("correlation_id")
@as_json_option
@click.pass_context
def timeline(context: click.Context, correlation_id: str, as_json: bool) -> None:
    """Show everything that the services said and heard about an order.

    CORRELATION_ID is the id of its job.
    """
    found = read_timeline(SERVICES, correlation_id)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    elif found.events:
        _show(found)
    else:
        click.echo(f"No service knows an order {correlation_id}.", err=True)
    context.exit(0 if found.events else 1)


def _tell_done(letter: str, done: str, as_json: bool) -> None:
    said = f"{letter} {done}."
    click.echo(json.dumps({"letter": letter, "message": said}, indent=2) if as_json else said)


_HIDDEN = ("service", "resolution", "actor", "why", "resolved_at")


def _show(found: Timeline) -> None:
    console = Console(highlight=False, markup=False)
    for event in found.events:
        console.print(_line(event))
        indent = "   " * event.depth
        for copy in event.heard:
            tries = f", attempt {copy.attempts}" if copy.attempts > 1 else ""
            console.print(
                f"              {indent}   {copy.service}: {copy.state}{tries}{f' ({copy.note})' if copy.note else ''}"
            )
        for name in event.unheard:
            console.print(f"              {indent}   {name}: has not heard of it")
    for letter in found.letters:
        console.print(
            f"✉ {letter.service}/{letter.id} {letter.kind}: {letter.error} [{letter.resolution or 'open'}]"
        )


def _line(event: Said) -> str:
    sent = (
        ""
        if event.sends == 1
        else ", not sent yet"
        if not event.sends
        else f", sent {event.sends} times"
    )
    return (
        f"{event.at:%H:%M:%S.%f}"[:12]
        + f"  {'   ' * event.depth}{event.kind}  by {event.by or 'somebody'}{sent}"
    )


def _open_letters(service: Service) -> list[Row[Any]]:
    with service.database.snapshot() as tx:
        return desk.open_letters(tx, service.name)


def _letter(named: str) -> tuple[Service, int]:
    name, _, number = named.partition("/")
    service = next((service for service in SERVICES if service.name == name), None)
    if service is None or not number.isdecimal():
        raise click.BadParameter(
            f"{named}: say a service and a number, such as payments/3", param_hint="LETTER"
        )
    return service, int(number)
