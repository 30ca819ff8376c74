"""What is refused over HTTP, how it is said, and that each `type` is a page."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from surefoot.app.config import Settings
from surefoot.app.errors import SettingsError
from surefoot.app.store.session import open_engine
from surefoot.web import create_app
from surefoot.web.api.problem_types import KINDS
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import GOOD, Caller, Shop
from tests.support.stores import migrate

JOBS = "/api/v1/jobs"
UNKNOWN_ID = "018f0000-0000-7000-8000-000000000001"


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), (
        answer.get_data(as_text=True)[:500]
    )
    body: dict[str, Any] = answer.get_json()
    assert (body["type"], body["status"]) == (f"/problems/{slug}", status)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return body


def order(**changes: Any) -> dict[str, Any]:
    return {"saga": "shop", "input": GOOD | changes}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="malformed"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested 100,000 deep"),
        pytest.param(
            b'{"input":' * 100_000 + b"1" + b"}" * 100_000, id="objects nested 100,000 deep"
        ),
        pytest.param(b'{"saga":"shop","saga":"order","input":{}}', id="duplicate key"),
        pytest.param(b'{"saga":"shop","input":{"quantity":NaN}}', id="NaN"),
        pytest.param(
            b'{"saga":"shop","input":{"quantity":' + b"1" * 100_000 + b"}}", id="huge number"
        ),
        pytest.param(b'{"saga":"shop","input":{"sku":"\\ud800"}}', id="lone surrogate"),
        pytest.param(b'{"saga":"shop","input":{"sku":"a\\u0000b"}}', id="NUL"),
    ],
)
def test_given_body_that_is_no_json_when_posted_then_400(user: Caller, raw: bytes) -> None:
    problem(user.post(JOBS, data=raw), 400, "malformed-json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param(order(quantity=True), "/input/quantity", id="true for a number"),
        pytest.param(order(quantity="3"), "/input/quantity", id="text for a number"),
        pytest.param(order(quantity=3.0), "/input/quantity", id="3.0 for a whole number"),
        pytest.param(order(quantity=None), "/input/quantity", id="null for a number"),
        pytest.param(order(quantity=0), "/input/quantity", id="out of range"),
        pytest.param(order(quantity=10**90), "/input/quantity", id="far out of range"),
        pytest.param(order(sku=7), "/input/sku", id="number for a text"),
        pytest.param(order(sku="x" * 65), "/input/sku", id="text too long"),
        pytest.param(order(price=1), "/input/price", id="extra field"),
        pytest.param({"saga": "shop", "input": {}}, "/input/sku", id="nothing there"),
        pytest.param({"saga": "shop", "input": []}, "/input", id="list for the input"),
        pytest.param({"saga": "shop", "input": None}, "/input", id="null for the input"),
        pytest.param(
            {"saga": "shop", "input": GOOD, "state": "completed"}, "/state", id="extra member"
        ),
        pytest.param({"input": GOOD}, "/saga", id="no saga"),
        pytest.param({"saga": ["shop"], "input": GOOD}, "/saga", id="list for the saga"),
        pytest.param(
            {"saga": "shop", "input": GOOD, "webhook": "https://example.org"},
            "/webhook",
            id="webhook, not accepted yet",
        ),
    ],
)
def test_given_input_that_does_not_fit_when_posted_then_422_points_at_it(
    shop: Shop, user: Caller, body: Any, pointer: str
) -> None:
    told = problem(user.post(JOBS, body), 422, "invalid-input")
    assert pointer in [fault["pointer"] for fault in told["errors"]]
    assert all(fault["detail"] for fault in told["errors"])
    assert str(GOOD["card"]) not in json.dumps(told)
    assert not shop.broker.waiting


def test_given_unknown_saga_when_posted_then_422_with_the_nearest_name(user: Caller) -> None:
    told = problem(user.post(JOBS, {"saga": "shopp", "input": GOOD}), 422, "unknown-saga")
    assert (told["errors"][0]["pointer"], "shop" in told["detail"]) == ("/saga", True)


def test_given_amount_above_the_limit_when_posted_then_refused(user: Caller) -> None:
    told = problem(user.submit(GOOD | {"amount_cents": 100_001}), 422, "above-limit")
    assert told["errors"][0]["pointer"] == "/input/amount_cents"
    assert user.submit(GOOD | {"amount_cents": 100_000}).status_code == 202


def test_given_large_bodies_when_posted_then_413_and_a_large_input_422(user: Caller) -> None:
    told = problem(
        user.post(JOBS, data=b'{"saga":"shop","input":{"note":"' + b"x" * 2_000_000 + b'"}}'),
        413,
        "too-large",
    )
    assert told["limit_bytes"] == 1024 * 1024
    problem(user.post(JOBS, data=b"x" * 10_000_000), 413, "too-large")
    problem(user.submit(GOOD | {"note": "x" * 300_000}), 422, "invalid-input")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
    ],
)
def test_given_other_media_type_when_posted_then_415(user: Caller, kind: str) -> None:
    answer = user.client.post(
        JOBS, headers=user.headers, data=json.dumps(order()), content_type=kind
    )
    problem(answer, 415, "unsupported-media-type")
    assert answer.headers["Accept-Post"] == "application/json"


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/vnd.shop+json"]
)
def test_given_json_media_type_when_posted_then_taken(user: Caller, kind: str) -> None:
    assert (
        user.client.post(
            JOBS, headers=user.headers, data=json.dumps(order()), content_type=kind
        ).status_code
        == 202
    )


def test_given_chunked_body_when_posted_then_411(user: Caller) -> None:
    answer = user.client.post(
        JOBS,
        headers=user.headers | {"Transfer-Encoding": "chunked"},
        content_type="application/json",
        data=b"{}",
        environ_overrides={"CONTENT_LENGTH": ""},
    )
    problem(answer, 411, "length-required")


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, '"open'])
def test_given_key_that_cannot_be_one_when_posted_then_400(user: Caller, key: str) -> None:
    problem(user.submit(headers={"Idempotency-Key": key}), 400, "invalid-idempotency-key")


# --- addresses, methods, keys -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/v1/nothing",
        "/api/v2/jobs",
        "/api/v1/jobs/",
        "//api/v1/jobs",
        "/api/v1/jobs/x/y/z",
        f"{JOBS}/no-id",
        f"{JOBS}/{UNKNOWN_ID}",
    ]
    + [
        f"{JOBS}/%00",
        f"{JOBS}/{UNKNOWN_ID}%0a",
        f"{JOBS}/{UNKNOWN_ID.replace('-', '')}",
        f"{JOBS}/{'9' * 4000}",
        "/problems/nothing",
    ],
)
def test_given_address_of_nothing_when_asked_then_404(user: Caller, path: str) -> None:
    problem(user.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", JOBS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PUT", f"{JOBS}/{UNKNOWN_ID}", {"GET", "HEAD", "OPTIONS"}),
        ("GET", f"{JOBS}/{UNKNOWN_ID}/cancel", {"OPTIONS", "POST"}),
        ("POST", "/livez", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "/api/v1/sagas", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_given_other_method_when_asked_then_405_with_allow(
    user: Caller, method: str, path: str, allowed: set[str]
) -> None:
    answer = user.client.open(path, method=method, headers=user.headers)
    problem(answer, 405, "method-not-allowed")
    assert {one.strip() for one in answer.headers["Allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nobody",
        "Basic dXNlcjpwYXNz",
        "Token x",
        "Bearer " + "x" * 5000,
        "Bearer sf_\xe9",
    ],
)
def test_given_no_good_key_when_asked_then_401_and_how(
    shop: Shop, app: Flask, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    client = app.test_client(use_cookies=False)
    for method, path in (
        ("GET", JOBS),
        ("POST", JOBS),
        ("GET", f"{JOBS}/{UNKNOWN_ID}/why"),
        ("GET", "/api/v1/workers"),
        ("POST", "/jobs"),
    ):
        answer = client.open(path, method=method, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_given_every_route_when_asked_without_key_then_only_the_open_ones_answer(
    app: Flask,
) -> None:
    """Default deny: a new route that forgets to say who may use it is closed."""
    client = app.test_client(use_cookies=False)
    answered = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(
            r"<[^>]+>",
            lambda m: "order-0000" if "slug" not in m.group() else "not-found",
            rule.rule,
        ).replace("order-0000", UNKNOWN_ID)
        for method in rule.methods - {"OPTIONS", "HEAD"}:
            if (
                client.open(path, method=method).status_code not in (401, 303)
                or rule.endpoint == "sign_in.leave"
            ):
                answered.add(rule.endpoint)
    assert answered == {
        "static", "health.livez", "health.readyz", "health.healthz", "sign_in.show", "sign_in.leave", "problem_pages.index",
        "problem_pages.show", "document.show", "docs.show",
    }  # fmt: skip


# --- trouble of ours --------------------------------------------------------------------------------------------------
def test_given_a_mistake_of_ours_when_it_happens_then_500_that_tells_nothing_but_its_trace(
    shop: Shop, user: Caller, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"card {GOOD['card']} in a message")

    monkeypatch.setattr("surefoot.app.engine.jobs.intake.submit", broken)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = user.submit(headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    told = problem(answer, 500, "internal-error")
    assert told["trace_id"] == trace
    assert str(GOOD["card"]) not in answer.get_data(as_text=True)
    assert "RuntimeError" not in answer.get_data(as_text=True)
    printed = capsys.readouterr()
    assert str(GOOD["card"]) not in printed.out + printed.err


def test_given_requests_with_secrets_when_logged_then_none_of_them(
    shop: Shop, app: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    key = shop.key()
    user = Caller(app, key)
    user.submit(GOOD | {"quantity": "x"}, headers={"Idempotency-Key": "key_canary"})
    user.submit()
    user.get(f"{JOBS}?tag=tag_canary")
    user.get("/nothing%0a{%22level%22:%22forged%22}")
    printed = capsys.readouterr()
    text = printed.out + printed.err
    for canary in (GOOD["card"], key, "key_canary", "tag_canary"):
        assert str(canary) not in text
    assert "\n{" not in text.replace('\n{"method"', "")


def test_given_store_that_is_down_when_asked_then_503_with_when_to_come_back(
    shop: Shop, user: Caller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = shop.web()
    caller = Caller(app, shop.key())
    app.extensions[EXTENSION].db.dispose()
    file = Path(shop.url.removeprefix("sqlite:///"))
    shop.db.dispose()
    file.rename(tmp_path / "away.sqlite")
    file.mkdir()  # what is there cannot be opened
    for answer in (caller.submit(), caller.get(JOBS), caller.get("/readyz")):
        problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    assert caller.get("/livez").status_code == 200
    health = caller.get("/healthz")
    assert (health.status_code, health.get_json()["status"]) == (503, "down")


@pytest.mark.parametrize("answers", ["nobody listens", "mute"])
def test_given_postgresql_that_is_away_or_mute_when_asked_then_503(
    shop: Shop, answers: str
) -> None:
    app, caller_key = shop.web(), shop.key()
    door = app.extensions[EXTENSION]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answers == "mute":
            listener.listen()
        away = open_engine(
            f"postgresql+psycopg://127.0.0.1:{listener.getsockname()[1]}/none", connect_timeout_s=2
        )
        app.extensions[EXTENSION] = replace(door, db=away)
        problem(Caller(app, caller_key).submit(), 503, "unavailable")
        away.dispose()
    app.extensions[EXTENSION] = door


def test_given_store_without_tables_or_no_secret_when_started_then_refused_in_one_sentence(
    sqlite_url: str,
) -> None:
    with pytest.raises(SettingsError, match="db upgrade"):
        create_app(Settings(env="test", database_url=sqlite_url))
    migrate(sqlite_url)
    with pytest.raises(SettingsError, match="SUREFOOT_SECRET"):
        create_app(Settings(database_url=sqlite_url))


def test_given_every_kind_of_problem_when_its_type_is_followed_then_a_page(app: Flask) -> None:
    client = app.test_client()
    for slug, kind in KINDS.items():
        page = client.get(f"/problems/{slug}")
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert kind.title in page.get_data(as_text=True)
    assert client.get("/problems/").status_code == 200
