"""As whom the server is known: hosts that requests may name, absolute addresses, cookies of https,
and who a proxy speaks for."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from surefoot.app.config import Settings, settings
from surefoot.app.errors import SettingsError
from surefoot.web.address import client_address
from tests.contract.views.shop import Shop
from tests.integration.test_http_refused import problem

JOBS = "/api/v1/jobs"
PUBLIC = "https://shop.example.com"
OPEN = ("/livez", "/readyz", "/healthz")


@pytest.fixture
def public(shop: Shop) -> Flask:
    return shop.web(public_url=PUBLIC, hosts="web:8000,inside")


def get(app: Flask, path: str, host: str, **headers: str) -> tuple[int, str]:
    answer = app.test_client().get(path, headers={"Host": host, **headers})
    return answer.status_code, answer.get_data(as_text=True)


# --- which hosts ----------------------------------------------------------------------------------
def test_given_loopback_when_a_name_nobody_can_own_is_named_then_answered(app: Flask) -> None:
    for host in (
        "localhost",
        "localhost:8000",
        "127.0.0.1:9",
        "[::1]:8000",
        "a.localhost",
        "10.0.0.7:80",
    ):
        assert get(app, "/problems/", host)[0] == 200, host


def test_given_loopback_when_somebody_elses_name_is_named_then_421(app: Flask) -> None:
    for host in (
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "evil_.example",
        "<b>",
        "",
        "a@b",
    ):
        for path in ("/problems/", "/sign-in", JOBS, "/nothing", "/static/surefoot.css"):
            answer = app.test_client().get(path, headers={"Host": host})
            told = problem(answer, 421, "misdirected")
            assert "SUREFOOT_PUBLIC_URL" in told["detail"]
            assert "evil" not in answer.get_data(as_text=True)


def test_given_other_address_than_loopback_and_no_public_url_when_asked_then_any_host_as_before(
    app: Flask,
) -> None:
    client = app.test_client()
    assert (
        client.get(
            "/problems/", base_url="http://0.0.0.0:8000", headers={"Host": "shop"}
        ).status_code
        == 200
    )


def test_given_public_url_when_it_or_a_listed_host_is_named_then_answered(public: Flask) -> None:
    for host in ("shop.example.com", "SHOP.example.com", "web:8000", "inside", "inside:81"):
        assert get(public, "/problems/", host)[0] == 200, host


def test_given_public_url_when_another_host_is_named_then_421_but_for_probes(
    public: Flask, shop: Shop
) -> None:
    key = {"Authorization": f"Bearer {shop.key('platform')}"}
    for host in (
        "localhost",
        "127.0.0.1:8000",
        "shop.example.com:8443",
        "shop.example.com.evil.example",
        "web",
    ):
        for path in ("/problems/", "/sign-in", JOBS, "/docs"):
            told = problem(
                public.test_client().get(path, headers={"Host": host, **key}), 421, "misdirected"
            )
            assert PUBLIC in told["detail"]
        assert [get(public, path, host)[0] for path in OPEN] == [200, 200, 200]
        assert get(public, "/metrics", host, **key)[0] == 200


def test_given_public_url_when_a_browser_asks_under_another_host_then_a_page_says_so(
    public: Flask,
) -> None:
    status, page = get(public, "/sign-in", "evil.example", Accept="text/html")
    assert (status, PUBLIC in page, "evil" in page) == (421, True, False)


# --- absolute addresses ---------------------------------------------------------------------------
def test_given_public_url_when_pages_and_document_are_read_then_it_is_in_every_absolute_address(
    shop: Shop, public: Flask
) -> None:
    client = browser(public, shop)
    job = shop.order()
    for path in ("/docs", "/?saga=shop", f"/jobs/{job}", "/api/v1/openapi.json"):
        text = client.get(path).get_data(as_text=True)
        assert PUBLIC in text
        hosts = set(re.findall(r"\bhttps?://([a-zA-Z0-9.:-]+)", text))
        assert hosts - {"www.w3.org"} == {"shop.example.com"}, path
    assert client.get("/api/v1/openapi.json").get_json()["servers"] == [{"url": PUBLIC}]


def test_given_no_public_url_when_the_document_is_read_then_it_names_the_server_that_gave_it(
    app: Flask,
) -> None:
    assert app.test_client().get("/api/v1/openapi.json").get_json()["servers"] == [{"url": "/"}]


# --- cookies and https ----------------------------------------------------------------------------
class Browser(FlaskClient):
    """Comes by a proxy that speaks https outside and http to us."""

    def open(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        kwargs["headers"] = {"Host": "shop.example.com", **kwargs.get("headers", {})}
        return super().open(*args, **kwargs)


def browser(app: Flask, shop: Shop) -> FlaskClient:
    app.test_client_class = Browser
    client = app.test_client()
    answer = client.post("/sign-in", data={"key": shop.key("operator")})
    name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
    client.set_cookie(name, value, domain="localhost")
    return client


def test_given_public_url_when_signed_in_then_a_cookie_that_no_neighbour_can_plant(
    shop: Shop, public: Flask
) -> None:
    client = browser(public, shop)
    assert client.get("/").status_code == 200
    set_cookie = client.post("/sign-in", data={"key": shop.key()}).headers["Set-Cookie"]
    assert set_cookie.startswith("__Host-surefoot_session=")
    assert all(word in set_cookie for word in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Domain" not in set_cookie
    ended = client.post("/sign-out").headers["Set-Cookie"]
    assert ended.startswith("__Host-surefoot_session=;")
    assert ("Secure" in ended, "Max-Age=0" in ended) == (True, True)
    stranger = public.test_client()
    stranger.set_cookie("surefoot_session", set_cookie.partition("=")[2].partition(";")[0])
    assert stranger.get("/").status_code == 303, "a cookie of the other name counts for nothing"


def test_given_public_url_when_answered_then_hsts_and_without_it_none(
    public: Flask, app: Flask
) -> None:
    for path in ("/livez", "/sign-in", "/nothing", JOBS):
        answer = public.test_client().get(path, headers={"Host": "shop.example.com"})
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Strict-Transport-Security" not in app.test_client().get(path).headers


def test_given_public_url_of_plain_http_when_signed_in_then_the_cookie_is_as_without(
    shop: Shop,
) -> None:
    client = shop.web(public_url="http://localhost:8080").test_client()
    answer = client.post("/sign-in", data={"key": shop.key()}, headers={"Host": "localhost:8080"})
    assert answer.headers["Set-Cookie"].startswith("surefoot_session=")
    assert "Secure" not in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in answer.headers


def test_given_public_url_when_a_change_comes_then_only_from_its_origin(
    shop: Shop, public: Flask
) -> None:
    client = browser(public, shop)
    cancel = f"{JOBS}/{shop.order()}/cancel"
    asked: list[tuple[dict[str, str], bool]] = [
        ({}, True),
        ({"Origin": PUBLIC}, True),
        ({"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}, True),
        (
            {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
            True,
        ),  # our form, which sends no referrer
        ({"Origin": "http://shop.example.com"}, False),
        ({"Origin": f"{PUBLIC}:8443", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "https://web:8000", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": PUBLIC, "Sec-Fetch-Site": "same-site"}, False),
    ]
    for headers, taken in asked:
        for path in ("/sign-in", cancel):
            assert (client.post(path, headers=headers).status_code != 403) == taken, headers


# --- proxies --------------------------------------------------------------------------------------
def test_given_forwarded_for_when_the_peer_is_a_trusted_proxy_or_not_then_it_is_believed_or_not(
    shop: Shop,
) -> None:
    app = shop.web(trusted_proxies="10.1.0.0/16, ::1")
    for peer, forwarded, client in (
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, unknown", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
    ):
        with app.test_request_context(
            headers={"X-Forwarded-For": forwarded}, environ_overrides={"REMOTE_ADDR": peer}
        ):
            assert client_address() == client


# --- settings -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (PUBLIC, PUBLIC),
        ("https://Shop.Example.com/", PUBLIC),
        ("https://shop.example.com:443", PUBLIC),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_given_origin_when_set_then_kept_as_browsers_write_it(url: str, kept: str) -> None:
    assert Settings(public_url=url).public_url == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "shop.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://shop.example.com/jobs"),
        ("PUBLIC_URL", "https://shop.example.com?"),
        ("PUBLIC_URL", "https://shop.example.com/#"),
        ("PUBLIC_URL", "https://me:pw@shop.example.com"),
        ("PUBLIC_URL", "https://shop example.com"),
        ("PUBLIC_URL", "ftp://shop.example.com"),
        ("PUBLIC_URL", "https://shop.example.com:x"),
        ("HOSTS", "https://web:8000"),
        ("HOSTS", "web, a/b"),
        ("TRUSTED_PROXIES", "proxy"),
        ("TRUSTED_PROXIES", "10.0.0.0/99"),
    ],
)
def test_given_what_is_not_an_origin_host_or_network_when_set_then_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SUREFOOT_{name}", value)
    with pytest.raises(SettingsError, match=f"^SUREFOOT_{name}: "):
        settings()
