"""What `--growth` found: figures of every size and round, and how they grew within a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from surefoot.app.bench.result import Spread, spread

CPU = "cpu_all_ms"
BYTES = "message_bytes"
OTHERS = "others_cpus"


@dataclass
class Size:
    """A row at one size.

    `rounds`: the figures of each, by name: milliseconds, bytes, or so many a second.
    """

    size: int
    rounds: list[dict[str, float]] = field(default_factory=list)

    @property
    def values(self) -> dict[str, float]:
        """The median over rounds of each figure."""
        return {name: median(one[name] for one in self.rounds) for name in self.rounds[0]}


@dataclass
class Row:
    """One question.

    `limit`: how often as much a figure of the largest size may be as that of the first; a rate, how
    much less.
    """

    name: str
    title: str
    limit: float
    sizes: list[Size] = field(default_factory=list)

    def note(self, size: int, values: dict[str, float]) -> None:
        """One more measurement, of the next round of this size."""
        found = next((one for one in self.sizes if one.size == size), None)
        if found is None:
            found = Size(size)
            self.sizes = sorted([*self.sizes, found], key=lambda one: one.size)
        found.rounds.append(values)

    def growth(self, value: str, size: Size | None = None) -> Spread | None:
        """A figure of this size (the largest) over that of the first, round by round.

        None where there is nothing to compare.
        """
        first, last = self.sizes[0], size or self.sizes[-1]
        pairs = zip(first.rounds, last.rounds, strict=True)
        ratios = [
            after[value] / before[value]
            for before, after in pairs
            if value in after and before.get(value)
        ]
        return spread(ratios) if first is not last and ratios else None


@dataclass
class Grown:
    """Everything that was found. `left_out`: what did not fit in."""

    store: str
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)

    def note(self, told: dict[str, Any]) -> str | None:
        """Take one line of the measuring process.

        Returns: words about it, where a new thing begins.
        """
        if "left_out" in told:
            self.left_out.append(told["left_out"])
            return f"left out: {told['left_out']}"
        if "doing" in told:
            return str(told["doing"])
        row = next((row for row in self.rows if row.name == told["name"]), None)
        if row is None:
            row = Row(told["name"], told["title"], told["limit"])
            self.rows.append(row)
        row.note(told["size"], told["values"])
        return None

    def others_cpus(self) -> Spread | None:
        """Processors that something else kept busy while we measured."""
        found = [one[OTHERS] for row in self.rows for size in row.sizes for one in size.rounds]
        return spread(found) if found else None


def judged(row: Row) -> dict[str, Spread]:
    """What is held against the row's limit: processor time, messages' bytes, a rate turned round,
    each sweep's query; figure -> growth.
    """
    names = [
        CPU,
        BYTES,
        *sorted({name for size in row.sizes for name in size.values if name.startswith("sweep_")}),
    ]
    found = {name: grown for name in names if (grown := row.growth(name)) is not None}
    if row.name == "parked" and (rate := row.growth("per_s")):
        found["per_s"] = Spread(1 / rate.median, 1 / rate.high, 1 / rate.low)
    return found
