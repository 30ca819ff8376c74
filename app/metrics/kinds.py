"""A counter and a histogram: what they are called, and their values by labels."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass, field

from surefoot.app.metrics import files

PREFIX = "surefoot_"
LABEL_SETS_MOST = (
    2000  # of one metric; beyond it everything counts as "other", so that no mistake fills the disk
)
OTHER = "other"


@dataclass(frozen=True)
class Counter:
    """Only grows. `name` without prefix and `_total`."""

    name: str
    told: str
    labels: tuple[str, ...] = ()
    _keys: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False, compare=False)

    def add(self, amount: float = 1.0, **labels: str) -> None:
        """Count. Every label is given."""
        self.count(labels, amount)

    def count(self, labels: dict[str, str], amount: float = 1.0) -> None:
        """The same, for labels that come as a dict."""
        if files.started():
            files.add(
                "counter",
                {self._key(tuple(str(labels.get(name, "")) for name in self.labels)): amount},
            )

    def _key(self, values: tuple[str, ...]) -> str:
        if values not in self._keys:
            if len(self._keys) >= LABEL_SETS_MOST:
                values = (OTHER,) * len(values)
            name = PREFIX + self.name
            self._keys[values] = _key(
                name, f"{name}_total", dict(zip(self.labels, values, strict=True)), self.told
            )
        return self._keys[values]


@dataclass(frozen=True)
class Histogram:
    """Seconds, in `buckets`: the upper end of each; one without an end comes by itself.

    `name` ends in `_seconds`.
    """

    name: str
    told: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    _keys: dict[tuple[str, ...], tuple[str, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def observe(self, seconds: float, **labels: str) -> None:
        """Note one duration. Every label is given."""
        if not files.started():
            return
        *buckets, total = self._of(tuple(str(labels.get(name, "")) for name in self.labels))
        amounts = dict.fromkeys(
            buckets, 0.0
        )  # every bucket is there from the first on, or their sums do not fit together
        amounts[buckets[bisect_left(self.buckets, seconds)]] = 1.0
        files.add("histogram", amounts | {total: seconds})

    def _of(self, values: tuple[str, ...]) -> tuple[str, ...]:
        if values not in self._keys:
            if len(self._keys) >= LABEL_SETS_MOST:
                values = (OTHER,) * len(values)
            name, labels = PREFIX + self.name, dict(zip(self.labels, values, strict=True))
            ends = [*(str(float(most)) for most in self.buckets), "+Inf"]
            buckets = [
                _key(name, f"{name}_bucket", {**labels, "le": most}, self.told) for most in ends
            ]
            self._keys[values] = (*buckets, _key(name, f"{name}_sum", labels, self.told))
        return self._keys[values]


def _key(metric: str, sample: str, labels: dict[str, str], told: str) -> str:
    """As prometheus-client's `mmap_key` writes it; importing that costs more than a start may."""
    return json.dumps([metric, sample, labels, told], sort_keys=True)
