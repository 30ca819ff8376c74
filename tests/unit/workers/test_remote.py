from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.control import Panel

from surefoot.workers import remote
from surefoot.workers.lease_renewer import LeaseRenewer
from surefoot.workers.remote import QUESTIONS, Answers, Refusals, misshapen

REPLIES = "reply.celery.pidbox"
ASKED = {"exchange": REPLIES, "routing_key": "me"}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The WARNING lines."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        remote,
        "log",
        SimpleNamespace(warning=lambda event, **facts: told.append({"event": event, **facts})),
    )
    return told


def test_given_every_command_that_celery_has_when_called_then_only_questions_reach_it(
    lines: list[dict[str, Any]],
) -> None:
    reached: list[str] = []
    known = {
        name: lambda *_, name=name, **__: reached.append(name)
        for name in (*Panel.data, "brought_by_a_later_celery")
    }
    answers = Answers(known, Refusals())
    for name in known:
        answers[name]("state", queue="payments")
    assert set(reached) == QUESTIONS
    refused = {
        "add_consumer",
        "autoscale",
        "cancel_consumer",
        "disable_events",
        "election",
        "enable_events",
        "hello",
        "memdump",
    }
    refused |= {
        "objgraph",
        "pool_grow",
        "pool_restart",
        "pool_shrink",
        "rate_limit",
        "revoke",
        "shutdown",
        "terminate",
        "time_limit",
    }
    assert {line["command"] for line in lines} >= refused | {"unknown"}
    assert set(Panel.data) - QUESTIONS == {line["command"] for line in lines} - {"unknown"}


def test_given_a_flood_of_commands_when_refused_then_one_line_a_minute_with_their_number(
    lines: list[dict[str, Any]],
) -> None:
    at = [0.0]
    refusals = Refusals(lambda: at[0])
    for second in range(100):
        at[0] = float(second)
        refusals.add("shutdown")
        refusals.add(f"made up {second}")
    assert [(line["command"], line["times"]) for line in lines] == [
        ("shutdown", 1),
        ("unknown", 1),
        ("shutdown", 60),
        ("unknown", 60),
    ]


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        ({"method": "ping"}, {}, None),
        (
            {
                "method": "ping",
                "arguments": None,
                "destination": ["a@b"],
                "reply_to": ASKED,
                "ticket": "t",
            },
            {"clock": 3},
            None,
        ),
        ({"method": "ping", "pattern": None, "matcher": None}, {"clock": None}, None),
        ("text", {}, "not a command"),
        ({"method": ["ping"]}, {}, "not a command"),
        ({"method": "ping", "state": 1}, {}, "not a command"),
        ({"method": "ping", "pattern": "(a+)+$", "matcher": "pcre"}, {}, "by a pattern"),
        ({"method": "ping", "arguments": [1]}, {}, "arguments"),
        ({"method": "ping", "destination": "a@b"}, {}, "destination"),
        ({"method": "ping"}, {"clock": "x"}, "clock"),
        ({"method": "ping"}, {"clock": 10**400}, "clock"),
        ({"method": "ping"}, None, "clock"),
        (
            {"method": "ping", "reply_to": {"exchange": "", "routing_key": "payments"}},
            {},
            "reply_to",
        ),
        ({"method": "ping", "reply_to": {"exchange": REPLIES}}, {}, "reply_to"),
    ],
)
def test_given_a_message_in_the_mailbox_when_looked_at_then_only_a_command_of_celerys_shape_passes(
    body: Any, headers: Any, words: str | None
) -> None:
    why = misshapen(body, headers, REPLIES)
    assert (why is None) if words is None else (why is not None and words in why)


def test_given_a_worker_when_asked_what_it_does_then_the_consumer_and_the_pool_say_so() -> None:
    worker = SimpleNamespace(
        pool=SimpleNamespace(num_processes=2, _pool=SimpleNamespace(_pool=["a", "b"])),
        consumer=None,
    )
    keeper = LeaseRenewer(worker)
    assert keeper.at_work().columns() == {"consuming": None, "children": 2}
    queues = [SimpleNamespace(name="orders"), SimpleNamespace(name="mail")]
    taken = ["orders"]
    worker.consumer = SimpleNamespace(
        task_consumer=SimpleNamespace(
            queues=queues, consuming_from=lambda queue: queue.name in taken
        )
    )
    assert keeper.at_work().consuming == ("orders",)
    worker.consumer.task_consumer = None  # the broker is away
    worker.pool._pool._pool = []
    assert keeper.at_work().columns() == {"consuming": [], "children": 0}
