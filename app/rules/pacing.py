"""When each of many is sent off, so that they do not arrive all at once."""

from __future__ import annotations

import math
from collections.abc import Iterator


def departures(count: int, rate: float, ramp_s: float = 0.0) -> Iterator[float]:
    """Seconds from now at which each of `count` leaves: `rate` a second, reached evenly in the
    first `ramp_s` seconds.

    During the ramp the rate grows from nothing in a straight line, so t seconds in, rate * t * t /
    (2 * ramp) have left.
    """
    in_ramp = rate * ramp_s / 2
    for number in range(count):
        yield (
            math.sqrt(2 * ramp_s * number / rate)
            if number < in_ramp
            else ramp_s + (number - in_ramp) / rate
        )
