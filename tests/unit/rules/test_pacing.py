"""Many are sent off at a rate that grows."""

from __future__ import annotations

from itertools import pairwise

import pytest

from surefoot.app.rules.pacing import departures


def test_given_a_rate_without_ramp_then_even_steps() -> None:
    assert list(departures(4, 2.0)) == [0.0, 0.5, 1.0, 1.5]
    assert list(departures(0, 2.0, 9.0)) == []


@pytest.mark.parametrize(("rate", "ramp"), [(5.0, 2.0), (0.5, 60.0), (100.0, 0.1)])
def test_given_a_ramp_then_it_begins_slowly_and_never_exceeds_the_rate(
    rate: float, ramp: float
) -> None:
    times = list(departures(200, rate, ramp))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] == 0.0
    assert all(gap >= 1 / rate - 1e-9 for gap in gaps)
    assert gaps == sorted(gaps, reverse=True) or all(
        earlier >= later - 1e-9 for earlier, later in pairwise(gaps)
    )
    assert times[-1] == pytest.approx(ramp / 2 + 199 / rate)
