"""A drill's table for people: on a terminal as it goes, and as Markdown for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from surefoot.app.drill.row import ORDER
from surefoot.app.drill.table import Report, Result

HEADINGS = ("Fault", "Operation", "Point", "Job", "Services", "Attempts", "")
PIPE_WIDTH = 200
MOST_LINES = 200  # of a schedule
PASS, FAIL, SKIPPED = "pass", "FAIL", "skipped"


def show(report: Report) -> None:
    """Print the table, the count, and for a failure its shortest schedule with the command that
    plays it again.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    for name, results in grouped(report.results):
        console.print(_table(name, results))
    for name, why in report.left_out.items():
        console.print(f"left out  {name}: {why}", style="dim")
    kept_in, tried = report.kept_in
    if kept_in:
        told = f"{kept_in} of {tried} lines: a transaction was open, so no worker stood still there"
        console.print(told, style="dim")
    console.print(_verdict(report))


def markdown(report: Report) -> str:
    """The table as a page's sections, one for each group."""
    lines: list[str] = []
    for name, results in grouped(report.results):
        lines += [
            f"## {name[:1].upper()}{name[1:]}",
            "",
            _row(("Fault", "Operation", "Point", "Job", "Services", "Attempts", "Result")),
        ]
        lines += [_row(["---"] * 7)]
        lines += [_row(_cells(result)) for result in results]
        lines += [
            "",
            *(f"- `{result.row.name}`: {result.why}" for result in results if not result.passed),
        ]
        lines += [""] if any(not result.passed for result in results) else []
    passed = len(report.results) - len(report.failed) - len(report.skipped)
    lines.append(
        f"{passed} rows passed, {len(report.failed)} failed{_counted(report)} (seed {report.seed})."
    )
    return "\n".join(lines) + "\n"


def grouped(results: Iterable[Result]) -> list[tuple[str, list[Result]]]:
    """Group by group, in the order of the table."""
    ordered = sorted(results, key=lambda result: ORDER.index(result.row.group))
    return [
        (str(group), list(found))
        for group, found in groupby(ordered, key=lambda result: result.row.group)
    ]


def _cells(result: Result) -> tuple[str, ...]:
    job = (
        f"{result.job_state}, redriven: {result.redriven_to}"
        if result.redriven_to
        else result.job_state
    )
    row = result.row
    attempts = str(result.attempts or "-")
    return (
        row.fault,
        row.operation or "-",
        row.point or "-",
        job,
        said(result.services),
        attempts,
        _result(result),
    )


def _result(result: Result) -> str:
    return FAIL if not result.passed else SKIPPED if result.skipped else PASS


def _counted(report: Report) -> str:
    """`, 3 skipped`, where there are any."""
    return f", {len(report.skipped)} skipped" if report.skipped else ""


def said(services: Mapping[str, str]) -> str:
    """`all done`, or each service with its word."""
    words = set(services.values())
    if len(words) == 1 and len(services) > 1:
        return f"all {words.pop()}"
    return ", ".join(f"{name} {word}" for name, word in services.items()) or "-"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(name: str, results: Sequence[Result]) -> Table:
    table = Table(
        title=name, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for heading in HEADINGS:
        table.add_column(
            heading,
            overflow="fold",
            justify="right" if heading == "Attempts" else "left",
            no_wrap=heading == "",
        )
    for result in results:
        cells = [Text(cell) for cell in _cells(result)]
        style = "yellow" if result.skipped else "green" if result.passed else "bold red"
        cells[-1].stylize(style)
        table.add_row(*cells)
        if not result.passed:
            table.add_row(Text(f"  {result.why}", style="red"), "", "", "", "", "", "")
    return table


def _verdict(report: Report) -> Group:
    failed = len(report.failed)
    passed = len(report.results) - failed - len(report.skipped)
    count = Text(
        f"{passed} of {len(report.results)} rows passed{_counted(report)} (seed {report.seed})",
        style="red" if failed else "green",
    )
    worst = report.shortest_failing
    if worst is None:
        return Group(count)
    lines = [
        count,
        Text(),
        Text(f"The shortest schedule that fails: {worst.row.name}", style="bold"),
        *(Text(line) for line in worst.trace[:MOST_LINES]),
        *(Text(f"           ✗ {sentence}", style="red") for sentence in worst.why.split("; ")),
        Text(),
        Text(f"Play it again: {report.replay(worst)}"),
    ]
    return Group(*lines)
