"""What leaves us and comes back is ours, or it is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from surefoot.app.access.signing import Signer
from surefoot.app.config import Settings
from surefoot.app.errors import RequestError, SettingsError

POSITION = (
    datetime(2026, 11, 22, 10, 42, 7, 123456, tzinfo=UTC),
    "018f0000-0000-7000-8000-000000000001",
)
TOKEN = "v5J0_a session's own random text"


def test_given_position_when_signed_then_read_back() -> None:
    signer = Signer("a secret of sixteen")
    assert signer.position("jobs", signer.cursor("jobs", POSITION)) == POSITION
    assert signer.token(signer.session(TOKEN)) == TOKEN


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: "",
        lambda c: c[:-1],
        lambda c: "x" + c,
        lambda c: c * 2,
        lambda c: "." * 9,
        lambda c: "é" + c,
        lambda c: "\x00",
    ],
)
def test_given_spoilt_text_when_read_then_refused(spoil: object) -> None:
    signer = Signer("a secret of sixteen")
    with pytest.raises(RequestError):
        signer.position("jobs", spoil(signer.cursor("jobs", POSITION)))  # type: ignore[operator]
    assert signer.token(spoil(signer.session(TOKEN))) is None  # type: ignore[operator]


def test_given_other_secret_or_other_purpose_when_read_then_refused() -> None:
    ours, theirs = Signer("a secret of sixteen"), Signer("another secret, also long")
    with pytest.raises(RequestError):
        ours.position("jobs", theirs.cursor("jobs", POSITION))
    with pytest.raises(RequestError):
        ours.position("jobs", ours.session(TOKEN))
    assert ours.token(theirs.session(TOKEN)) is None
    assert ours.token(ours.cursor("jobs", POSITION)) is None


def test_given_cursor_of_one_list_when_read_for_another_then_refused_with_what_to_do() -> None:
    signer = Signer("a secret of sixteen")
    with pytest.raises(RequestError, match="another list or to other filters"):
        signer.position("letters", signer.cursor("jobs", POSITION))


def test_given_no_secret_in_production_when_started_then_one_sentence() -> None:
    with pytest.raises(SettingsError, match="SUREFOOT_SECRET") as refused:
        Signer.from_settings(Settings(secret=""))
    assert "\n" not in refused.value.message


def test_given_no_secret_in_a_test_when_started_then_it_works() -> None:
    assert Signer.from_settings(Settings(env="test")).cursor("jobs", POSITION)
