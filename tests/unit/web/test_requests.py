"""Headers, queries and bodies as they come."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from surefoot.web.api import requests
from surefoot.web.api.problems import Problem
from surefoot.web.api.responses import wished_wait


@pytest.fixture
def app() -> Flask:
    return Flask("test")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("abc", "abc"),
        ('"abc"', "abc"),
        ('  "abc" ', "abc"),
        (r'"a\"b\\c"', r"a\"b\\c".replace(r"\"", '"').replace("\\\\", "\\")),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_given_idempotency_key_when_read_then_the_same_quoted_and_bare(
    app: Flask, header: str | None, key: str | None
) -> None:
    with app.test_request_context(headers={} if header is None else {"Idempotency-Key": header}):
        assert requests.idempotency_key() == key


@pytest.mark.parametrize(
    "header",
    ["", '""', "a b", '"a b"', "x" * 256, '"' + "x" * 256 + '"', '"open', 'a"b" "', "é", "\x7f"],
)
def test_given_key_that_cannot_be_one_when_read_then_400(app: Flask, header: str) -> None:
    with (
        app.test_request_context(headers={"Idempotency-Key": header}),
        pytest.raises(Problem) as refused,
    ):
        requests.idempotency_key()
    assert (refused.value.slug, refused.value.status) == ("invalid-idempotency-key", 400)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("wait=5", 5),
        ("respond-async, wait=3", 3),
        ("WAIT = 2", 2),
        ('wait="4"', 4),
        ("wait=900", 10),
        ("wait=0", 0),
    ]
    + [("wait=-1", None), ("wait=x", None), ("wait", None), ("return=minimal", None)],
)
def test_given_prefer_when_read_then_seconds_up_to_ten(
    app: Flask, header: str | None, seconds: int | None
) -> None:
    with app.test_request_context(headers={} if header is None else {"Prefer": header}):
        assert wished_wait() == seconds


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"saga": 7}, "/saga"),
        ({"saga": ""}, "/saga"),
        ({"saga": None}, "/saga"),
        ({"priority": 0}, "/priority"),
        ({"priority": 5}, "/priority"),
        ({"deadline_seconds": 0}, "/deadline_seconds"),
        ({"deadline_seconds": True}, "/deadline_seconds"),
        ({"deadline_seconds": "5"}, "/deadline_seconds"),
        ({"deadline_seconds": 1e12}, "/deadline_seconds"),
        ({"tags": "a"}, "/tags"),
        ({"tags": ["a"] * 21}, "/tags"),
        ({"tags": ["x" * 65]}, "/tags/0"),
        ({"tags": ["a", ""]}, "/tags/1"),
        ({"tags": ["a\nb"]}, "/tags/0"),
        ({"tags": [1]}, "/tags/0"),
        ({"state": "completed"}, "/state"),
        ({"tenant_id": "x"}, "/tenant_id"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"webhook": "https://example.org"}, "/webhook"),
        ({"reply_to": "queue"}, "/reply_to"),
        ({"notify": None}, "/notify"),
    ],
)
def test_given_wrong_field_when_checked_then_422_points_at_it(
    change: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Problem) as refused:
        requests.job_request({"saga": "shop", "input": {}} | change)
    assert refused.value.status == 422
    assert [fault["pointer"] for fault in refused.value.facts["errors"]] == [pointer]


@pytest.mark.parametrize("body", [None, [], "x", 3, [{"saga": "shop"}]])
def test_given_no_object_when_checked_then_422(body: Any) -> None:
    with pytest.raises(Problem) as refused:
        requests.job_request(body)
    assert refused.value.status == 422


def test_given_missing_fields_when_checked_then_each_is_named() -> None:
    with pytest.raises(Problem) as refused:
        requests.job_request({})
    assert {fault["pointer"] for fault in refused.value.facts["errors"]} == {"/saga", "/input"}


def test_given_whole_request_when_checked_then_taken() -> None:
    wanted = requests.job_request(
        {"saga": "shop", "input": {"a": 1}, "deadline_seconds": 30, "tags": ["x" * 64] * 20}
    )
    assert (wanted.deadline_seconds, len(wanted.tags)) == (30.0, 20)
