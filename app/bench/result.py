"""What the batches say: medians over rounds, ratios within a round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from surefoot.app.bench.rows import ALL, Row
from surefoot.app.bench.run import Result, Sample


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One row's figures. Times in milliseconds; what is said "per job" is over all rounds."""

    row: Row
    rounds: int
    submitted: int
    finished: int
    rescued: int
    rate: Spread
    ratio: Spread | None
    cpu_ratio: Spread | None
    cpu_ms: dict[str, float | None]
    write_tx: float
    wal_bytes: float
    messages: float
    commands: float
    submit_ms: tuple[float, float]
    done_ms: tuple[float, float]
    rss_bytes: float
    foreign_cpus: float

    @property
    def cpu_total_ms(self) -> float:
        return sum(value or 0.0 for value in self.cpu_ms.values())


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: with few values the highest shares are the highest value."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def lines(result: Result) -> list[Line]:
    """A line for each row that was measured."""
    return [
        _line(row, result.samples)
        for row in ALL
        if any(sample.row == row for sample in result.samples)
    ]


def _line(row: Row, samples: Sequence[Sample]) -> Line:
    mine = [sample for sample in samples if sample.row == row]
    finished = sum(sample.finished for sample in mine) or 1
    return Line(
        row=row,
        rounds=len(mine),
        submitted=sum(sample.submitted for sample in mine),
        finished=sum(sample.finished for sample in mine),
        rescued=sum(sample.rescued for sample in mine),
        rate=spread([sample.rate for sample in mine]),
        ratio=_against(row, samples, lambda sample: sample.rate),
        cpu_ratio=_against(row, samples, lambda sample: sample.cpu_ms),
        cpu_ms={name: _cpu_ms(mine, name) for name in mine[0].cpu_s},
        write_tx=sum(sample.commits for sample in mine) / finished,
        wal_bytes=sum(sample.wal_bytes or 0 for sample in mine) / finished,
        messages=sum(sample.messages for sample in mine) / finished,
        commands=sum(sample.commands for sample in mine) / finished,
        submit_ms=_ends([second for sample in mine for second in sample.submit_s]),
        done_ms=_ends([second for sample in mine for second in sample.done_s]),
        rss_bytes=median(sample.rss_bytes for sample in mine),
        foreign_cpus=median(sample.foreign_cpus for sample in mine),
    )


def _against(
    row: Row, samples: Sequence[Sample], figure: Callable[[Sample], float]
) -> Spread | None:
    """Row / peer, round by round; None for a plain row."""
    peers = {sample.round: figure(sample) for sample in samples if sample.row.name == row.peer_name}
    found = [figure(s) / peers[s.round] for s in samples if s.row == row and peers.get(s.round)]
    return spread(found) if found else None


def _cpu_ms(samples: Sequence[Sample], name: str) -> float | None:
    if any(sample.cpu_s[name] is None for sample in samples):
        return None
    return median(
        1000 * (sample.cpu_s[name] or 0.0) / max(1, sample.finished) for sample in samples
    )


def _ends(seconds: Sequence[float]) -> tuple[float, float]:
    return (
        (1000 * percentile(seconds, 0.5), 1000 * percentile(seconds, 0.99))
        if seconds
        else (0.0, 0.0)
    )
