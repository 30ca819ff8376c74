"""Token buckets: how fast, how many at once, and how many buckets there may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.app.limits.rates import SHARED, Buckets, Rate, subscriber


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def buckets(per_s: float = 2.0, burst: int = 5, most: int = 100) -> tuple[Buckets, Clock]:
    clock = Clock()
    return Buckets(Rate("key", per_s, burst), most=most, clock=clock), clock


def taken(one: Buckets, name: str = "a") -> bool:
    found = one.take(name)
    assert found is not None
    return not found.wait_s


def test_given_more_than_a_burst_at_once_when_taken_then_the_rest_waits_as_long_as_it_is_told() -> (
    None
):
    one, clock = buckets()
    assert [taken(one) for _ in range(7)] == [True] * 5 + [False] * 2
    found = one.take("a")
    assert found is not None
    assert (found.left, found.wait_s) == (0, 0.5)
    clock.now += found.wait_s
    assert [taken(one), taken(one)] == [True, False]
    assert taken(one, "b"), "another one is not concerned"


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_given_any_times_when_asked_then_never_more_than_burst_and_rate_allow(
    pauses: list[float],
) -> None:
    one, clock = buckets()
    began, granted = clock.now, 0
    for pause in pauses:
        clock.now += pause
        granted += taken(one)
    assert granted <= 5 + 2.0 * (clock.now - began) + 1e-6


def test_given_a_look_when_asked_then_nothing_is_taken() -> None:
    one, _ = buckets(burst=1)
    assert [one.look("a").wait_s, one.look("a").wait_s] == [0.0, 0.0]  # type: ignore[union-attr]
    assert taken(one)
    assert one.look("a").wait_s > 0  # type: ignore[union-attr]


def test_given_no_rate_when_asked_then_no_bound() -> None:
    one, _ = buckets(per_s=0.0)
    assert (one.take("a"), one.look("a")) == (None, None)


def test_given_a_million_addresses_when_they_come_then_newcomers_share_one_bucket() -> None:
    one, clock = buckets(burst=2, most=10)
    names = [f"a{n}" for n in range(10)]
    assert [taken(one, name) for name in names for _ in range(2)] == [True] * 20
    strangers = [taken(one, f"b{n}") for n in range(1000)]
    assert strangers == [True] * 2 + [False] * 998, "one bucket for them all"
    assert not any(taken(one, name) for name in names), "none of the ten was forgotten"
    assert len(one._buckets) == 11
    clock.now += 3600
    assert [taken(one, f"c{n}") for n in range(8)] == [True] * 8, "full buckets make room"
    assert SHARED not in list(one._buckets)[-8:]


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", ""),
    ],
)
def test_given_an_address_then_whose_it_is(address: str, whose: str) -> None:
    assert subscriber(address) == whose
