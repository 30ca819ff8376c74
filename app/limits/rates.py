"""How fast requests may come: a token bucket for each key, and for each address whose key is not
known.

The hazard: one caller takes every thread, or guesses keys as fast as the line allows. Buckets are
this process's memory. A caller who changes addresses fills that memory, so it is bounded: a bucket
that is full again says nothing and is forgotten, and where none is, newcomers share one bucket.
Nobody's bucket that says something is thrown away for theirs.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BUCKETS_MOST = 10_000
LOOKED_AT = 4  # buckets that may be forgotten for a newcomer, oldest first
SHARED = ""  # the name of the bucket that newcomers share when all places are taken


@dataclass(frozen=True)
class Rate:
    """`per_s`: tokens that come back each second, 0 for no bound at all; `burst`: as many as there
    are at most."""

    name: str
    per_s: float
    burst: int

    @property
    def window_s(self) -> int:
        """In how long an empty bucket is full again, whole seconds."""
        return max(1, math.ceil(self.burst / self.per_s))


@dataclass(frozen=True)
class Taken:
    """`left`: whole tokens; `wait_s`: until there is one; 0 when there was."""

    rate: Rate
    left: int
    wait_s: float


@dataclass
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """One for a process; its threads share it."""

    def __init__(
        self, rate: Rate, *, most: int = BUCKETS_MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        # the one that was asked last is last
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> Taken | None:
        """Take a token, if there is one. None: there is no bound."""
        return self._asked(name, 1.0)

    def look(self, name: str) -> Taken | None:
        """Whether there is a token, and take none. None: there is no bound."""
        return self._asked(name, 0.0)

    def _asked(self, name: str, cost: float) -> Taken | None:
        if not self.rate.per_s:
            return None
        with self._lock:
            now = self._clock()
            bucket = self._bucket(name, now)
            bucket.tokens, bucket.at = self._tokens(bucket, now), now
            if bucket.tokens < 1.0:
                return Taken(self.rate, 0, (1.0 - bucket.tokens) / self.rate.per_s)
            bucket.tokens -= cost
            return Taken(self.rate, int(bucket.tokens), 0.0)

    def _tokens(self, bucket: _Bucket, now: float) -> float:
        return min(float(self.rate.burst), bucket.tokens + (now - bucket.at) * self.rate.per_s)

    def _bucket(self, name: str, now: float) -> _Bucket:
        found = self._buckets.get(name)
        if found is None and len(self._buckets) >= self._most and not self._forget(now):
            name = SHARED
            found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = _Bucket(float(self.rate.burst), now)
        self._buckets.move_to_end(name)
        return found

    def _forget(self, now: float) -> bool:
        """Forget buckets that are full again, which is as if they had never been. False: there was
        none among the oldest."""
        oldest = [name for name, _ in zip(self._buckets, range(LOOKED_AT), strict=False)]
        full = [
            name for name in oldest if self._tokens(self._buckets[name], now) >= self.rate.burst
        ]
        for name in full:
            del self._buckets[name]
        return bool(full)


def subscriber(address: str) -> str:
    """The subscriber of an address: of IPv6 the first 64 bits, for a subscriber has all the
    others."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network(f"{found}/64", strict=False).network_address)
    return str(getattr(found, "ipv4_mapped", None) or found)
