"""Other programs at our queues, seen in what kombu keeps in Redis."""

from __future__ import annotations

import json

import fakeredis
import pytest

from surefoot.app.config import settings
from surefoot.app.delivery.neighbours import look
from surefoot.app.delivery.queues import of_lane, on_broker
from surefoot.app.errors import SettingsError

EAST, WEST = "surefoot.east", "surefoot.west"
BINDING = "\x06\x16\x06\x16"


@pytest.fixture
def client() -> fakeredis.FakeRedis:
    client = fakeredis.FakeRedis(decode_responses=True)
    client.sadd(f"_kombu.binding.{EAST}", f"{EAST}{BINDING}{EAST}")  # as we declare it
    client.hset("unacked", "theirs", json.dumps([{"body": ""}, "", "mail"]))
    client.hset("unacked", "rubbish", "{")
    client.sadd("_kombu.binding.mail", f"mail{BINDING}mail")
    return client


def test_given_another_celery_with_queues_of_its_own_then_nothing_is_said(
    client: fakeredis.FakeRedis,
) -> None:
    assert look(client, ["east", "west"]) == []


def test_given_others_that_take_copy_or_feed_then_each_is_named(
    client: fakeredis.FakeRedis,
) -> None:
    client.hset("unacked", "ours", json.dumps([{"body": ""}, "", EAST]))
    client.sadd(f"_kombu.binding.{EAST}", f"{EAST}{BINDING}copies")
    client.sadd("_kombu.binding.mail", f"{BINDING}{WEST}")
    assert look(client, ["east", "west"]) == [
        f"another program holds 1 of the messages of {EAST}",
        f"the exchange mail of another program feeds {WEST}",
        f"the queue copies of another program is bound to {EAST}",
    ]


@pytest.mark.parametrize("prefix", ["x", "Team-7_a.", "surefoot."])
def test_given_a_prefix_when_set_then_names_on_the_broker_begin_with_it(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_QUEUE_PREFIX", prefix)
    assert on_broker("mail.undo") == f"{prefix}mail.undo"
    assert of_lane(on_broker("mail.undo")) == of_lane("mail.undo") == "mail.undo"


@pytest.mark.parametrize("prefix", ["a b", "ü.", "a/b", "amq.x", "x" * 65, "a*"])
def test_given_a_prefix_that_no_broker_takes_when_read_then_refused_in_a_sentence(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_QUEUE_PREFIX", prefix)
    with pytest.raises(SettingsError, match=r"^SUREFOOT_QUEUE_PREFIX: must be 1 to 64 letters"):
        settings()
