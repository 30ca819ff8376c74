"""A guest on servers that others use takes what is empty, and says in one sentence why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from surefoot.app.delivery.broker import redis_url as without_transport
from surefoot.app.errors import SettingsError
from surefoot.app.supervisor import guest


def test_given_no_postgresql_when_a_store_is_asked_for_then_it_is_the_guests_own_file(
    tmp_path: Path,
) -> None:
    for given in ("", f"sqlite:///{tmp_path / 'of-others.sqlite'}"):
        with guest.store(given, tmp_path / "own.sqlite", whose="drill") as url:
            assert url == f"sqlite:///{tmp_path / 'own.sqlite'}"


def test_given_a_postgresql_that_is_not_there_then_it_says_what_it_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError,
        match="DATABASE_URL: the drill makes a database of its own there, and could not",
    ):
        with guest.store(
            "postgresql://nobody@127.0.0.1:1/nothing", tmp_path / "own.sqlite", whose="drill"
        ):
            pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://guest@127.0.0.1:1//", "BROKER_URL: the drill works with Redis by TCP only"),
        ("redis://127.0.0.1:1/0", "BROKER_URL: the broker does not answer"),
    ],
    ids=["no-redis", "nobody-there"],
)
def test_given_a_broker_that_takes_no_guests_then_it_says_why(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        with guest.redis_database(url, whose="drill"):
            pass


def test_given_databases_that_are_in_use_then_the_next_empty_one_is_taken_and_emptied_at_the_end(
    redis_url: str,
) -> None:
    used = redis.Redis.from_url(without_transport(redis_url).rpartition("/")[0] + "/15")
    used.set("of others", "1")
    try:
        with (
            guest.redis_database(redis_url, whose="drill") as first,
            guest.redis_database(redis_url, whose="drill") as second,
        ):
            assert [url.rpartition("/")[2] for url in (first, second)] == ["14", "13"]
        assert set(used.info("keyspace")) & {"db13", "db14"} == set()
        assert used.get("of others") == b"1"
    finally:
        used.delete("of others")
        used.close()
