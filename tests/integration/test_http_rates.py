"""Requests that come too fast: by key, by address, and wrong keys."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask

from tests.contract.views.shop import Caller, Shop
from tests.integration.test_http_refused import problem

JOBS = "/api/v1/jobs"
SLOW = 0.001  # tokens a second: none comes back while a test runs
OPEN = ("/livez", "/readyz", "/healthz")


def refused(answer: Any, policy: str, burst: int) -> None:
    told = problem(answer, 429, "too-many-requests")
    assert told["policy"] == policy
    assert int(answer.headers["Retry-After"]) >= 1
    assert re.fullmatch(rf'"{policy}";q={burst};w=\d+', answer.headers["RateLimit-Policy"])
    assert re.fullmatch(rf'"{policy}";r=0;t=\d+', answer.headers["RateLimit"])


def from_address(app: Flask, address: str, path: str, **more: Any) -> Any:
    method = more.pop("method", "GET")
    return app.test_client(use_cookies=False).open(
        path, method=method, environ_overrides={"REMOTE_ADDR": address}, **more
    )


def test_given_a_key_that_asks_too_fast_when_it_goes_on_then_429_and_other_keys_are_not_concerned(
    shop: Shop,
) -> None:
    app = shop.web(key_rate=SLOW, key_burst=5)
    fast, other = Caller(app, shop.key()), Caller(app, shop.key())
    answers = [fast.get(JOBS) for _ in range(5)]
    assert [answer.headers["RateLimit"].partition(";t")[0] for answer in answers] == [
        f'"key";r={left}' for left in (4, 3, 2, 1, 0)
    ]
    for answer in (
        fast.get(JOBS),
        fast.submit(),
        fast.get(f"{JOBS}/018f0000-0000-7000-8000-000000000001"),
        fast.get("/"),
    ):
        refused(answer, "key", 5)
    assert other.submit().status_code == 202
    assert [fast.get(path).status_code for path in OPEN] == [200, 200, 200]
    assert fast.get("/docs").status_code == 200, "what needs no key counts by address"


def test_given_a_browser_that_asks_too_fast_when_it_goes_on_then_a_page_that_says_when(
    shop: Shop,
) -> None:
    client = shop.web(key_rate=SLOW, key_burst=2).test_client()
    client.post("/sign-in", data={"key": shop.key()})
    assert [client.get("/jobs").status_code for _ in range(3)] == [200, 200, 429]
    answer = client.get("/jobs", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype, int(answer.headers["Retry-After"]) > 0) == (
        429,
        "text/html",
        True,
    )


def test_given_an_address_without_key_when_it_asks_too_fast_then_429_and_its_good_keys_go_on(
    shop: Shop,
) -> None:
    app, key = shop.web(address_rate=SLOW, address_burst=6), shop.key()
    bearer = {"headers": {"Authorization": f"Bearer {key}"}}
    assert from_address(app, "192.0.2.1", JOBS, **bearer).status_code == 200
    for path, status in (
        ("/sign-in", 200),
        ("/docs", 200),
        (JOBS, 401),
        ("/nothing", 404),
        ("/jobs", 303),
    ):
        assert from_address(app, "192.0.2.1", path).status_code == status
    for path in (
        "/sign-in",
        "/docs",
        JOBS,
        "/nothing",
        "/problems/",
        "/api/v1/openapi.json",
        "/static/surefoot.js",
    ):
        refused(from_address(app, "192.0.2.1", path), "address", 6)
    refused(
        from_address(app, "192.0.2.1", JOBS, headers={"Authorization": "Basic eDp5"}), "address", 6
    )
    assert from_address(app, "192.0.2.2", "/sign-in").status_code == 200
    assert from_address(app, "192.0.2.1", JOBS, **bearer).status_code == 200
    assert [from_address(app, "192.0.2.1", path).status_code for path in OPEN] == [200, 200, 200]


def test_given_wrong_keys_when_they_go_on_then_429_for_the_right_one_too_unless_it_was_known(
    shop: Shop,
) -> None:
    app, known, new = shop.web(wrong_keys_minute=4), shop.key(), shop.key()

    def ask(key: str, address: str = "192.0.2.1") -> Any:
        return from_address(app, address, JOBS, headers={"Authorization": f"Bearer {key}"})

    def sign_in(key: str, address: str = "192.0.2.1") -> Any:
        return from_address(app, address, "/sign-in", method="POST", data={"key": key})

    assert ask(known).status_code == 200
    assert [one("sf_wrong").status_code for one in (ask, sign_in, ask, sign_in)] == [401] * 4
    for answer in (ask("sf_wrong"), sign_in("sf_wrong"), ask(new), sign_in(new)):
        refused(answer, "wrong-keys", 4)
    assert ask(known).status_code == 200
    assert (ask(new, "192.0.2.2").status_code, sign_in(new, "192.0.2.2").status_code) == (200, 303)


def test_given_a_proxy_when_its_clients_ask_too_fast_then_each_for_itself(shop: Shop) -> None:
    app = shop.web(address_rate=SLOW, address_burst=1)

    def ask(client: str, peer: str) -> int:
        return int(
            from_address(app, peer, "/sign-in", headers={"X-Forwarded-For": client}).status_code
        )

    assert [
        ask("203.0.113.1", "127.0.0.1"),
        ask("203.0.113.1", "127.0.0.1"),
        ask("203.0.113.2", "127.0.0.1"),
    ] == [200, 429, 200]
    assert [ask("203.0.113.3", "192.0.2.1"), ask("203.0.113.4", "192.0.2.1")] == [200, 429], (
        "who is not a proxy is not believed"
    )


def test_given_the_document_when_read_then_every_route_but_probes_says_429_with_its_fields(
    app: Flask,
) -> None:
    told = app.test_client().get("/api/v1/openapi.json").get_json()
    for path, methods in told["paths"].items():
        for said in methods.values():
            assert ("429" in said["responses"]) == (path not in OPEN), path
            if path not in OPEN:
                assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(
                    said["responses"]["429"]["headers"]
                )
