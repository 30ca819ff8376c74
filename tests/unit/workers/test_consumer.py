from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from surefoot.workers.consumer import Strategies, headers_of, presentable, queue_of
from surefoot.workers.tasks import UNKNOWN_TASK


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text", "text"),
        (b"\xff\x00", "\\xff\\x00"),
        ("a\x00b", "a\\x00b"),
        ("\ud800", "\\ud800"),
        (None, "None"),
    ],
)
def test_given_anything_when_presented_then_text_that_a_database_takes(
    value: Any, expected: str
) -> None:
    assert presentable(value) == expected


def test_given_long_text_when_presented_then_it_is_cut_and_says_so() -> None:
    assert presentable("x" * 100, 10) == "x" * 10 + " … (100 characters)"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, {}),
        (["a"], {"headers": "['a']"}),
        ({"a": 1, "b": {"c": "\x00"}}, {"a": 1, "b": {"c": "\x00"}}),
        ({5: object}, {"5": "<class 'object'>"}),
    ],
)
def test_given_headers_of_any_kind_when_kept_then_a_mapping(
    headers: Any, expected: dict[str, Any]
) -> None:
    assert headers_of(SimpleNamespace(headers=headers)) == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [(None, ""), ({}, ""), ({"routing_key": "lane"}, "lane"), ({"routing_key": None}, "")],
)
def test_given_delivery_information_when_asked_for_the_queue_then_text(
    info: Any, expected: str
) -> None:
    assert queue_of(SimpleNamespace(delivery_info=info)) == expected


def test_given_name_of_a_step_that_is_not_here_when_looked_up_then_the_engine_answers() -> None:
    strategies = Strategies({UNKNOWN_TASK: "engine", "order.a": "here"})
    assert strategies["order.a"] == "here"
    assert strategies["order.new_step.undo"] == "engine"
    for name in ("nonsense", "celery.map", "order.", "a.b.c.d", ""):
        with pytest.raises(KeyError):
            strategies[name]
