"""What `--growth` found, for programs (JSON) and for people (a table, and which figures grew)."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from surefoot.app.bench.grown import BYTES, CPU, Grown, Row, Size, judged
from surefoot.app.bench.result import Spread

WIDTH = 132
COLUMNS = {
    CPU: "CPU ms",
    "database_ms": "database",
    "wal_bytes": "WAL B",
    BYTES: "message B",
    "per_s": "a second",
}
HEADINGS = ("", "how many", *COLUMNS.values(), "slowest\nsweep ms", "CPU to the first's\n(min-max)")


def as_json(grown: Grown) -> dict[str, Any]:
    """The document of `--growth --json`.

    `sizes`: medians over rounds; `growth`: the largest size's figure over the smallest's, by
    figure, median of the ratios within a round; `spread`: lowest and highest of them.
    """
    others = grown.others_cpus()
    return {
        "seconds": round(grown.seconds, 1),
        "store": grown.store,
        "left_out": grown.left_out,
        "others_cpus": None
        if others is None
        else [round(value, 2) for value in (others.median, others.low, others.high)],
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "limit": row.limit,
                "rounds": len(row.sizes[-1].rounds),
                "growth": {name: round(value.median, 3) for name, value in judged(row).items()},
                "spread": {
                    name: [round(value.low, 3), round(value.high, 3)]
                    for name, value in judged(row).items()
                },
                "sizes": [
                    {
                        "size": size.size,
                        **{name: round(value, 3) for name, value in size.values.items()},
                    }
                    for size in row.sizes
                ],
            }
            for row in grown.rows
        ],
    }


def show(grown: Grown) -> None:
    """A table for people, and which figures grew by more than their limit."""
    table = Table(
        box=box.SIMPLE,
        title="What a job, a step or a member costs, by how many there are (medians over rounds)",
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "" else "right")
    for row in grown.rows:
        for number, size in enumerate(row.sizes):
            table.add_row(row.title if number == 0 else "", f"{size.size:,}", *_cells(row, size))
    console = Console(width=WIDTH)
    console.print(table)
    for row in grown.rows:
        console.print(f"{row.title}: {_verdict(row)}")
    for left in grown.left_out:
        console.print(f"Left out, for it did not fit in: {left}. --seconds gives more time.")
    others = grown.others_cpus()
    busy = f"; others kept {others.median:.2f} processors busy ({_range(others)})" if others else ""
    console.print(f"{grown.store}; {grown.seconds:.0f} s{busy}.")


def _cells(row: Row, size: Size) -> list[str]:
    values, grown = size.values, row.growth(CPU, size)
    sweeps = [value for name, value in values.items() if name.startswith("sweep_")]
    told = [f"{values[name]:.1f}" if name in values else "" for name in COLUMNS]
    return [
        *told,
        f"{max(sweeps):.2f}" if sweeps else "",
        f"{grown.median:.2f} ({_range(grown)})" if grown else "",
    ]


def _verdict(row: Row) -> str:
    found = judged(row)
    above = [
        f"{name} {value.median:.2f} times ({_range(value)})"
        for name, value in found.items()
        if value.median > row.limit
    ]
    if above:
        return f"grew by more than {row.limit:g}: {', '.join(above)}."
    rate = f"; rate {1 / found['per_s'].median:.2f} of the first's" if "per_s" in found else ""
    return f"as good as flat{rate}."


def _range(value: Spread) -> str:
    return f"{value.low:.2f}-{value.high:.2f}"
