"""Names of variables: ours have our prefix, four famous ones are taken, those of others move nothing."""

from __future__ import annotations

import pytest

from surefoot.app import environment
from surefoot.app.config import Settings, settings
from surefoot.app.doctor.told import Told, every_setting, sources
from surefoot.app.supervisor import additions
from surefoot.workers.sagas.order.settings import order_settings
from surefoot.workers.sagas.order_choreographed.settings import event_settings

OF_LOGIN_SHELLS = {
    "MAIL": "/var/mail/root",
    "HOST": "x86_64-conda-linux-gnu",
    "LOG_LEVEL": "trace",
    "LOG_FORMAT": "%m",
    "ENV": "x",
}


def test_given_names_without_our_prefix_when_read_then_none_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (settings(), order_settings(), event_settings())
    settings.cache_clear()
    for name in {*environment.RENAMED, *additions.renamed(), *OF_LOGIN_SHELLS}:
        monkeypatch.setenv(name, OF_LOGIN_SHELLS.get(name, "77"))
    assert (settings(), order_settings(), event_settings()) == before


@pytest.mark.parametrize(
    ("told", "said"),
    [("0.0.0.0", "0.0.0.0"), ("::1", "::1"), ("localhost", "localhost"), ("myhost", "127.0.0.1")],
)
def test_given_host_of_a_platform_or_a_shell_when_read_then_an_address_is_taken_and_a_name_is_not(
    told: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", told)
    assert settings().host == said
    assert len(environment.host_of_others()) == (told == "myhost")


def test_given_a_famous_name_and_ours_when_read_then_ours_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, bare, own in (
        ("DATABASE_URL", "sqlite:///a", "sqlite:///b"),
        ("PORT", "1", "2"),
        ("HOST", "::1", "::2"),
    ):
        monkeypatch.setenv(name, bare)
        monkeypatch.setenv(f"SUREFOOT_{name}", own)
    monkeypatch.setenv("BROKER_URL", "redis://bare/0")
    monkeypatch.setenv("SUREFOOT_BROKER_URL", "")
    told = settings()
    assert (told.database_url, told.port, told.host, told.broker_url) == (
        "sqlite:///b",
        2,
        "::2",
        "redis://bare/0",
    )
    assert order_settings().database_url == "sqlite:///b"
    assert Settings(database_url="sqlite:///c").database_url == "sqlite:///c"
    found = {one.name: one.source for one in every_setting()}
    assert (found["SUREFOOT_PORT"], found["SUREFOOT_BROKER_URL"], found["SUREFOOT_SAGAS"]) == (
        "SUREFOOT_PORT",
        "BROKER_URL",
        "default",
    )


def test_given_old_names_when_told_then_each_sentence_names_both_unless_the_new_one_is_set() -> (
    None
):
    said = environment.renamed(
        {
            "LEASE_SECONDS": "9",
            "OPEN_JOBS": "3",
            "SUREFOOT_OPEN_JOBS": "4",
            "MAIL": "/var/mail/root",
        }
    )
    assert said == ["LEASE_SECONDS is now SUREFOOT_LEASE_SECONDS; LEASE_SECONDS is not obeyed"]


def test_given_every_old_name_then_it_is_a_setting_of_today() -> None:
    assert {f"SUREFOOT_{name}" for name in environment.RENAMED | additions.renamed()} <= {
        one.name for one in every_setting()
    }


def test_given_secrets_when_settings_are_shown_then_only_where_they_are_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUREFOOT_SECRET", "s" * 32)
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@here/there")
    shown = every_setting()
    assert Told("SUREFOOT_SECRET", "(hidden)", "SUREFOOT_SECRET") in shown
    assert not [one for one in shown if "hush" in one.value]
    said = sources({one.name: one.source for one in shown})
    assert "SUREFOOT_SECRET by the environment" in said
    assert "SUREFOOT_DATABASE_URL by DATABASE_URL" in said
