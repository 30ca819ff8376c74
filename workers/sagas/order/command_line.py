"""The commands of the order saga: `surefoot bank`, `surefoot stock`, `surefoot ledger`, `surefoot
rush`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

from surefoot import NothingSent
from surefoot.workers.sagas.order import ledger as books
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services.bank_client import BankUnclear
from surefoot.workers.sagas.order.services.inventory import MAX_STOCK, StockRow, StockTooLow

if TYPE_CHECKING:
    from surefoot.workers.sagas.order.rush import Told


@click.command()
@click.option(
    "--host", help="Address to listen on (default: that of SUREFOOT_BANK_URL, else 127.0.0.1)."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on (default: that of SUREFOOT_BANK_URL, else a free one).",
)
def bank(host: str | None, port: int | None) -> None:
    """Run the bank that the order saga pays at.

    It is a server of its own, with its own book.
    """
    from surefoot.workers.sagas.order.services.bank_server import (
        serve,  # a server's imports are of no use to the other commands
    )

    serve(host, port)


@click.command()
@click.argument("sku", required=False)
@click.argument("amount", required=False, type=click.IntRange(0, MAX_STOCK))
@click.option("--seed", is_flag=True, help="Fill an empty shelf: apple, pear and plum, 1,000 each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stock(sku: str | None, amount: int | None, seed: bool, as_json: bool) -> None:
    """Show what is on the shelf, or say how many there were at first.

    AMOUNT of SKU were there; what is on hand follows.
    """
    if (sku is None) != (amount is None):
        raise click.UsageError(
            "Say both: surefoot stock SKU AMOUNT. Without either, the shelf is shown."
        )
    if seed and sku is not None:
        raise click.UsageError("--seed fills the whole shelf: give it no SKU.")
    if seed:
        filled = inventory.seed_if_empty()
        if not as_json:
            click.echo(
                "The shelf was empty: it has stock now."
                if filled
                else "The shelf has stock already: nothing changed."
            )
            return
    if sku is not None and amount is not None:
        if not _is_sku(sku):
            raise click.BadParameter(
                "a SKU has letters, digits and . _ - in it, 64 at most, a letter or digit first",
                param_hint="SKU",
            )
        try:
            rows = [inventory.set_initial(sku, amount)]
        except StockTooLow as error:
            raise click.ClickException(f"{error}.") from error
    else:
        rows = inventory.all_stock()
    if as_json:
        click.echo(json.dumps({row.sku: _counters(row) for row in rows}, indent=2))
    elif rows:
        Console().print(_shelf(rows))
    else:
        click.echo("The shelf is empty. Fill it with: surefoot stock --seed")


@click.command()
@click.option(
    "--settled",
    is_flag=True,
    help="Nothing should be under way any more: orders still open are violations too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def ledger(context: click.Context, settled: bool, as_json: bool) -> None:
    """Compare the books of orders, inventory, payments and the bank.

    Ends with 1 when they disagree, with 75 when the bank is away.
    """
    try:
        drawn = books.draw_up(books.read_books(), settled=settled)
    except (NothingSent, BankUnclear) as error:
        click.echo(f"The bank's book cannot be read: {error}", err=True)
        context.exit(AWAY)
    if as_json:
        click.echo(json.dumps(drawn.to_json(), indent=2))
    else:
        _show(drawn)
    context.exit(0 if drawn.consistent else 1)


@click.command()
@click.option(
    "--url",
    envvar="SUREFOOT_URL",
    required=True,
    help="The shop's address (default: that of `surefoot up` on this home).",
)
@click.option(
    "--key",
    envvar="SUREFOOT_API_KEY",
    required=True,
    help="A key of its API (better in SUREFOOT_API_KEY: words of a command are seen by all).",
)
@click.option("--orders", default=200, show_default=True, type=click.IntRange(1, 100_000))
@click.option(
    "--over",
    "over_s",
    default=0.0,
    metavar="SECONDS",
    type=click.FloatRange(0),
    help="Spread them evenly (default: as fast as they go).",
)
@click.option(
    "--saga",
    default="order",
    show_default=True,
    type=click.Choice(["order", "order_choreographed"]),
)
@click.option(
    "--patience",
    "patience_s",
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(1),
    help="Until an order must be taken, and all must have ended.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def rush(
    context: click.Context,
    url: str,
    key: str,
    orders: int,
    over_s: float,
    saga: str,
    patience_s: float,
    as_json: bool,
) -> None:
    """Place many orders at a shop that runs anywhere, and see that every one lands.

    One in four has a card that is declined. Ends with 1 when an order did not land as it should.
    Kill what you like meanwhile.
    """
    import httpx  # of no use to the other commands

    from surefoot.workers.sagas.order.rush import CUSTOMERS, NotAShop, Rush

    limits = httpx.Limits(max_connections=CUSTOMERS)
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, limits=limits, trust_env=False
    ) as http:
        try:
            told = Rush(http, saga, patience_s=patience_s).run(orders, over_s)
        except NotAShop as error:
            raise click.ClickException(str(error)) from error
    click.echo(json.dumps(told.to_json(), indent=2)) if as_json else _tell_rush(told)
    context.exit(0 if told.landed else 1)


AWAY = 75  # as EX_TEMPFAIL of sysexits.h: the same may succeed later
WIDE_CHARS = 110  # a terminal that has room for whole job ids


def _tell_rush(told: Told) -> None:
    facts = told.to_json()
    click.echo(
        f"{facts['accepted']} of {told.orders} orders taken in {told.took_s:.1f} s: {_named(facts['states'])}"
    )
    for what, seconds in (
        ("until an order was taken", facts["accepted_s"]),
        ("from then to its end", facts["ended_s"]),
    ):
        click.echo(f"{what}: " + ", ".join(f"{name} {s:g} s" for name, s in seconds.items()))
    if told.failures:
        click.echo(f"requests that failed and were made again: {_named(facts['failed_requests'])}")
    for sentence in told.wrong:
        click.secho(f"✗ {sentence}", fg="red")
    if told.landed:
        click.secho(
            "✓ Every order ended as its card asks for. Now the books, where the shop runs: surefoot ledger --settled",
            fg="green",
        )


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _show(drawn: books.Ledger) -> None:
    console = Console()
    if drawn.orders:
        table = _table(
            "Orders",
            ["Order", "Job", "State"],
            ["Charged", "Refunded", "Reserved", "Shipped", "Mails"],
        )
        short = console.width < WIDE_CHARS
        for line in drawn.orders:
            job = (
                f"…{line.job[-12:]}" if short and len(line.job) > 13 else line.job
            )  # the tail is what differs
            charged, refunded = (
                _money(line.charged_cents, line.charges),
                _money(line.refunded_cents, line.refunds),
            )
            receipts = "?" if line.receipts is None else str(line.receipts)
            table.add_row(
                str(line.order_id),
                job,
                line.state,
                charged,
                refunded,
                str(line.reserved),
                str(line.shipped),
                receipts,
            )
        console.print(table)
    else:
        console.print("There are no orders yet.")
    if drawn.stock:
        console.print(_shelf([StockRow(sku, **counters) for sku, counters in drawn.stock.items()]))
    for sentence in drawn.violations:
        console.print(f"✗ {sentence}", style="red", markup=False, highlight=False)
    if drawn.consistent:
        console.print("✓ The books agree.", style="green")


def _shelf(rows: Sequence[StockRow]) -> Table:
    table = _table("Stock", ["SKU"], ["Initial", "On hand", "Reserved", "Sold"])
    for row in rows:
        table.add_row(row.sku, *(f"{n:,}" for n in _counters(row).values()))
    return table


def _table(title: str, words: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in words:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _money(cents: int, times: int) -> str:
    return "-" if not times else f"{cents / 100:,.2f}" + (f" ({times} times)" if times > 1 else "")


def _counters(row: StockRow) -> dict[str, int]:
    return {
        "initial": row.initial,
        "on_hand": row.on_hand,
        "reserved": row.reserved,
        "sold": row.sold,
    }


def _is_sku(text: str) -> bool:
    return (
        0 < len(text) <= 64
        and text[0].isalnum()
        and text.isascii()
        and all(c.isalnum() or c in "._-" for c in text)
    )
