"""A browser's session ends on the server: a cookie that was copied is worth nothing afterwards,
whatever is asked with it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from surefoot.app.access import keys
from surefoot.app.store.session import reading
from surefoot.app.store.tables import sessions
from surefoot.web.pages import job as job_page
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import Shop
from tests.support.plans import heard

SEEN = ("/", "/jobs", "/sessions", "/recent", "/api/v1/jobs")


@pytest.fixture(autouse=True)
def _no_hour_ends_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_page, "WHY_ANEW_S", 1e9)


def signed_in(app: Flask, key: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"key": key}).status_code == 303
    return client


def copied(app: Flask, client: FlaskClient) -> FlaskClient:
    """A thief with the same cookies."""
    thief = app.test_client()
    for cookie in client._cookies.values():
        thief.set_cookie(cookie.key, cookie.value)
    return thief


def rows(shop: Shop) -> list[Any]:
    with reading(shop.db) as connection:
        return list(connection.execute(select(sessions).order_by(sessions.c.id)))


def sign_out(shop: Shop, client: FlaskClient, key_id: str) -> None:
    assert client.post("/sign-out").status_code == 303


def everywhere(shop: Shop, client: FlaskClient, key_id: str) -> None:
    assert client.post("/sessions/end").status_code == 303


def one_of_them(shop: Shop, client: FlaskClient, key_id: str) -> None:
    other = signed_in(client.application, KEYS[key_id])
    listed = re.findall(
        r"/sessions/([0-9a-f-]{36})/end", other.get("/sessions").get_data(as_text=True)
    )
    mine = rows(shop)[0].id
    assert mine in listed
    assert "said=ended" in other.post(f"/sessions/{mine}/end").headers["Location"]
    assert "said=over" in other.post(f"/sessions/{mine}/end").headers["Location"]
    assert other.get("/").status_code == 200


def signs_in_again(shop: Shop, client: FlaskClient, key_id: str) -> None:
    assert client.post("/sign-in", data={"key": KEYS[key_id]}).status_code == 303
    assert client.get("/").status_code == 200


def revoked(shop: Shop, client: FlaskClient, key_id: str) -> None:
    keys.revoke(shop.db, key_id)


def unused(shop: Shop, client: FlaskClient, key_id: str) -> None:
    shop.let_pass(shop.settings.session_idle_seconds + 1)


KEYS: dict[str, str] = {}


@pytest.mark.parametrize(
    "end", [sign_out, everywhere, one_of_them, signs_in_again, revoked, unused]
)
def test_given_a_copied_cookie_when_its_session_has_ended_then_every_address_is_closed_to_it(
    shop: Shop, app: Flask, end: Callable[[Shop, FlaskClient, str], None]
) -> None:
    key_id, text = keys.create(shop.db, "default", "operator", "ada")
    KEYS[key_id] = text
    job = shop.order()
    client = signed_in(app, text)
    thief = copied(app, client)
    tag = thief.get(f"/jobs/{job}/live").headers["ETag"]
    as_it_is = thief.get(f"/api/v1/jobs/{job}").headers["ETag"]
    assert thief.get(f"/jobs/{job}/live", headers={"If-None-Match": tag}).status_code == 304
    assert thief.get(f"/api/v1/jobs/{job}", headers={"If-None-Match": as_it_is}).status_code == 304
    end(shop, client, key_id)
    for path in (*SEEN, f"/jobs/{job}", f"/jobs/{job}/live"):
        answer = thief.get(path, headers={"If-None-Match": tag})
        assert answer.status_code == (401 if path.startswith("/api/") else 303), path
    assert thief.get(f"/api/v1/jobs/{job}", headers={"If-None-Match": as_it_is}).status_code == 401
    assert thief.post(f"/api/v1/jobs/{job}/cancel").status_code == 401
    assert thief.post(f"/jobs/{job}/cancel").status_code == 401
    assert shop.state(job) == "running"


def test_given_a_request_that_waits_when_its_session_ends_meanwhile_then_it_is_told_nothing(
    shop: Shop, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(app, shop.key())
    thief, job = copied(app, client), shop.order()
    waits = threading.Event()
    look = app.extensions[EXTENSION].polls.look

    def looking(*args: Any) -> Any:
        waits.set()
        return look(*args)

    monkeypatch.setattr(app.extensions[EXTENSION].polls, "look", looking)
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            thief.get(f"/api/v1/jobs/{job}", headers={"Prefer": "wait=1"}).status_code
        )
    )
    asking.start()
    assert waits.wait(10)
    client.post("/sign-out")
    asking.join()
    assert answers == [401]


def test_given_a_page_that_keeps_itself_fresh_when_nobody_uses_it_then_it_is_signed_out_in_the_end(
    shop: Shop, app: Flask
) -> None:
    client, job = signed_in(app, shop.key()), shop.order()
    third = shop.settings.session_idle_seconds / 3
    for _ in range(2):
        shop.let_pass(third)
        assert (
            client.get(f"/jobs/{job}/live").status_code == client.get("/recent").status_code == 200
        )
    shop.let_pass(third + 1)
    assert client.get(f"/jobs/{job}/live").status_code == 303
    used = signed_in(app, shop.key())
    for _ in range(4):
        shop.let_pass(third)
        assert used.get("/").status_code == 200


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
            "Safari on iPhone",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "unknown"),
    ],
)
def test_given_a_browser_s_own_words_when_listed_then_as_people_call_it(
    shop: Shop, app: Flask, agent: str, said: str
) -> None:
    client, key = app.test_client(), shop.key()
    client.post("/sign-in", data={"key": key}, headers={"User-Agent": agent})
    assert f">{said}<" in client.get("/sessions").get_data(as_text=True)


def test_given_polls_by_cookie_when_they_come_each_second_then_nothing_is_written(
    shop: Shop, app: Flask
) -> None:
    client, job = signed_in(app, shop.key()), shop.order()
    tag = client.get(f"/jobs/{job}/live").headers["ETag"]
    shop.let_pass(61)
    with heard(app.extensions[EXTENSION].db) as sent:
        for _ in range(5):
            client.get(f"/jobs/{job}/live", headers={"If-None-Match": tag})
    asked = [sql for sql, _ in sent if not sql.startswith("BEGIN")]
    assert not [sql for sql in asked if "UPDATE" in sql]
    assert (
        len([sql for sql in asked if "sessions" in sql]) == 5
    )  # one statement for each poll says who it is


def test_given_a_session_that_comes_from_elsewhere_when_it_ends_others_then_refused(
    shop: Shop, app: Flask
) -> None:
    client = signed_in(app, shop.key())
    assert client.post("/sessions/end", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/sessions").status_code == 200
    stranger = signed_in(app, shop.key())
    mine = rows(shop)[0].id
    assert "said=over" in stranger.post(f"/sessions/{mine}/end").headers["Location"]
    assert client.get("/sessions").status_code == 200
