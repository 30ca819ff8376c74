"""The result for programs (JSON) and for people (two tables, and what they say)."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from surefoot.app.bench.result import Line, Spread, lines
from surefoot.app.bench.run import Result, machine

WIDTH = 132
NOISY_CPUS = 0.3
SPEED = (
    "jobs/s",
    "to its peer (min-max)",
    "CPU to its peer's",
    "submit ms\np50 / p99",
    "done when idle, ms\np50 / p99",
    "others'\nCPUs",
)
COSTS = (
    "CPU ms",
    "client",
    "workers",
    "database",
    "broker",
    "writes",
    "WAL KiB",
    "messages",
    "commands",
    "RSS MiB",
)
MEBI, KIBI = 1024 * 1024, 1024


def as_json(result: Result) -> dict[str, Any]:
    """The document of `--json`.

    Times in ms, per job where the name says nothing else; null where it cannot be seen.
    """
    found = {line.row.name: line for line in lines(result)}
    return {
        "rounds": result.rounds,
        "seconds": round(result.seconds, 1),
        "ratio": _ratio(found.get("one_lane")),
        "ratio_events": _ratio(found.get("one_lane_events")),
        "finished_all": all(line.finished == line.submitted for line in found.values()),
        "rows": [_row(line) for line in found.values()],
        "machine": {
            **machine(),
            "store": result.store,
            "broker": result.broker,
            "worker_processes": result.children,
        },
    }


def _ratio(line: Line | None) -> float | None:
    return round(line.ratio.median, 3) if line is not None and line.ratio is not None else None


def _row(line: Line) -> dict[str, Any]:
    row = line.row
    return {
        "name": row.name,
        "letter": row.letter,
        "title": row.title,
        "events": row.events,
        "peer": row.peer_name,
        "rounds": line.rounds,
        "submitted": line.submitted,
        "finished": line.finished,
        "rescued": line.rescued,
        "jobs_per_s": _spread(line.rate, 2),
        "ratio": _spread(line.ratio, 3) if line.ratio else None,
        "cpu_ratio": _spread(line.cpu_ratio, 3) if line.cpu_ratio else None,
        "cpu_ms": {
            "total": round(line.cpu_total_ms, 2),
            **{
                name: None if value is None else round(value, 2)
                for name, value in line.cpu_ms.items()
            },
        },
        "write_tx": line.write_tx,
        "wal_bytes": round(line.wal_bytes),
        "messages": line.messages,
        "broker_commands": line.commands,
        "submit_ms": {"p50": round(line.submit_ms[0], 2), "p99": round(line.submit_ms[1], 2)},
        "done_ms": {"p50": round(line.done_ms[0], 2), "p99": round(line.done_ms[1], 2)},
        "workers_rss_bytes": round(line.rss_bytes),
        "foreign_cpus": round(line.foreign_cpus, 2),
    }


def _spread(spread: Spread, digits: int) -> dict[str, float]:
    return {
        "median": round(spread.median, digits),
        "min": round(spread.low, digits),
        "max": round(spread.high, digits),
    }


def show(result: Result) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    if not console.is_terminal or console.width < WIDTH:
        console.width = WIDTH
    found = lines(result)
    console.print(_rates(found))
    console.print(_costs(found))
    for sentence in sentences(result, found):
        console.print(sentence)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _rates(found: list[Line]) -> Table:
    table = _table("Speed", *SPEED)
    for line in found:
        table.add_row(
            name_of(line),
            f"{line.rate.median:.1f}",
            f"{_said(line.ratio)} of {'f' if line.row.peer == 'chord' else 'c'}"
            if line.ratio
            else "-",
            _said(line.cpu_ratio) if line.cpu_ratio else "-",
            f"{line.submit_ms[0]:.1f} / {line.submit_ms[1]:.1f}",
            f"{line.done_ms[0]:.1f} / {line.done_ms[1]:.1f}",
            f"{line.foreign_cpus:.2f}",
        )
    return table


def _costs(found: list[Line]) -> Table:
    table = _table("What one job costs", *COSTS)
    for line in found:
        shares = (line.cpu_ms[name] for name in ("client", "workers", "database", "broker"))
        table.add_row(
            name_of(line),
            f"{line.cpu_total_ms:.1f}",
            *("-" if share is None else f"{share:.1f}" for share in shares),
            f"{line.write_tx:g}",
            f"{line.wal_bytes / KIBI:.1f}",
            f"{line.messages:g}",
            f"{line.commands:.4g}",
            f"{line.rss_bytes / MEBI:.0f}",
        )
    return table


def name_of(line: Line) -> str:
    """The row as the tables call it."""
    return f"{line.row.letter}{'*' if line.row.events else ' '} {line.row.title}"


def _said(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def sentences(result: Result, found: list[Line]) -> list[str]:
    """What the tables say, in words."""
    named = {line.row.name: line for line in found}
    told = [
        f"{result.store}; {result.broker}; {result.children} worker processes a row; {result.rounds} rounds in {result.seconds:.0f} s."
    ]
    ours, plain = named.get("one_lane"), named.get("chain")
    if ours is not None and plain is not None and ours.ratio is not None:
        parts = {name: value for name, value in ours.cpu_ms.items() if value is not None}
        most = max(parts, key=lambda name: parts[name])
        told.append(
            f"(a)/(c) = {ours.ratio.median:.2f}: a saga of three steps that survives any crash runs at {ours.ratio.median:.2f} times the "
            f"rate of a plain chain that survives none. Processor time bounds it: {ours.cpu_total_ms:.1f} ms a job ({parts[most]:.1f} in "
            f"the {most}) against {plain.cpu_total_ms:.1f}, for {ours.write_tx:g} write transactions where the plain chain has none, and "
            f"{ours.messages:g} of its {plain.messages:g} messages. Rows with * have Flower's events on."
        )
    if any(line.finished != line.submitted for line in found):
        told.append("NOT ALL JOBS FINISHED: the figures mean nothing.")
    if sum(line.rescued for line in found):
        told.append(
            f"{sum(line.rescued for line in found)} messages had to be sent again: the counts are too high by that."
        )
    if result.rounds < result.asked_rounds:
        told.append(
            f"Only {result.rounds} of {result.asked_rounds} rounds fitted in; --seconds gives more time."
        )
    if max(line.foreign_cpus for line in found) > NOISY_CPUS:
        told.append(
            "The machine was not ours alone (others' CPUs): rates are worth little, ratios of a round more, processor time most."
        )
    return told
