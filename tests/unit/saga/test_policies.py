from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.app.saga.graph import Limits
from surefoot.app.saga.policies import Retry, backoff, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("500ms", 0.5),
        ("1.5m", 90.0),
        (" 5 s ", 5.0),
        (5, 5.0),
        (0.25, 0.25),
        (0, 0.0),
    ],
)
def test_given_duration_when_read_then_seconds(text: Any, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "bad",
    ["", "10", "s", "10 minutes", "-5s", "1h30m", -1, float("nan"), float("inf"), True, None, [1]],
)
def test_given_no_duration_when_read_then_the_message_shows_how_to_say_it(bad: Any) -> None:
    with pytest.raises(
        ValueError, match=r"is not a duration: say a number of seconds, or a text like '30s'"
    ):
        seconds(bad)


LIMITS = Limits(
    attempts=5,
    timeout_s=60,
    queue_timeout_s=900,
    backoff_s=1.0,
    backoff_factor=2.0,
    backoff_cap_s=60.0,
)


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (5000, 60.0)]
)
def test_given_attempt_when_backing_off_then_the_longest_wait_doubles_up_to_the_cap(
    attempt: int, longest: float
) -> None:
    assert backoff(LIMITS, attempt, lambda: 1.0) == longest


@given(attempt=st.integers(1, 10_000), draw=st.floats(0, 1))
def test_given_any_draw_when_backing_off_then_between_nothing_and_the_cap(
    attempt: int, draw: float
) -> None:
    assert 0 <= backoff(LIMITS, attempt, lambda: draw) <= LIMITS.backoff_cap_s
    assert backoff(LIMITS, attempt, lambda: 0.0) == 0


def test_given_retry_when_made_limits_then_its_own_limit_wins_over_the_default() -> None:
    assert Retry().limits(attempts=5, timeout_s=60, queue_timeout_s=900) == LIMITS
    own = Retry(limit=3, backoff="2s", factor=3, cap="1m").limits(
        attempts=5, timeout_s=1, queue_timeout_s=2
    )
    assert own == Limits(
        3, 1, 2, backoff_s=2.0, backoff_factor=3.0, backoff_cap_s=60.0, counted=True
    )
    assert Retry(for_="10m").limits(attempts=5, timeout_s=60, queue_timeout_s=900) == replace(
        LIMITS, for_s=600.0
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"for_": "soon"},
        {"limit": 0},
        {"limit": True},
        {"limit": 2.5},
        {"factor": 0.5},
        {"factor": float("inf")},
        {"backoff": "soon"},
        {"cap": -1},
    ],
    ids=str,
)
def test_given_retry_that_cannot_work_when_made_then_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="say a"):
        Retry(**wrong)


def test_given_a_time_of_nothing_when_made_then_refused() -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        Retry(for_=0)
