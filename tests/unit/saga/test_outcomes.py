from __future__ import annotations

import pickle

import pytest

from surefoot.app.errors import SurefootError
from surefoot.app.saga.outcomes import (
    NEVER,
    UNKNOWN,
    Answer,
    Happened,
    NothingSent,
    NotYet,
    Rejected,
    RetryLater,
)


def test_given_not_yet_when_made_then_its_time_is_seconds() -> None:
    assert NotYet(after="30s") == NotYet(30.0)
    assert NotYet("2m").seconds == NotYet("2m").after == 120.0


@pytest.mark.parametrize("make", [NotYet, RetryLater])
def test_given_no_duration_when_waiting_is_asked_for_then_refused(
    make: type[NotYet] | type[RetryLater],
) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        make("soon")


def test_given_errors_when_the_engine_looks_then_each_says_what_it_knows() -> None:
    assert Rejected("no stock", sku="apple").nothing_happened
    assert Rejected("no stock", sku="apple").details == {"sku": "apple"}
    assert NothingSent().nothing_sent
    assert not hasattr(NothingSent(), "nothing_happened"), "it is tried again, a rejection is not"
    later = RetryLater("10m")
    assert (later.seconds, str(later)) == (600.0, "Try again in 600 s.")
    assert not hasattr(later, "nothing_happened")
    assert not hasattr(later, "nothing_sent")
    assert all(isinstance(e, SurefootError) for e in (Rejected(), NothingSent(), later))


def test_given_probe_answers_when_compared_then_three_different_ones() -> None:
    assert Happened({"id": 1}) == Happened({"id": 1})
    assert {NEVER, UNKNOWN} == set(Answer)
    assert (repr(NEVER), repr(UNKNOWN)) == ("NEVER", "UNKNOWN")
    assert pickle.loads(pickle.dumps(NEVER)) is NEVER
