"""What is made once, packed and cached: the page of the API, its document, the files, and large
answers."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from surefoot.web.compression import LEAST_BYTES
from surefoot.web.pages import docs as docs_page
from tests.contract.views.shop import Caller, Shop

GZIP = {"Accept-Encoding": "gzip, br"}
DOCUMENT = "/api/v1/openapi.json"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client(use_cookies=False)


def text_of(answer: Any) -> str:
    raw: bytes = answer.get_data()
    return (
        gzip.decompress(raw) if answer.headers.get("Content-Encoding") == "gzip" else raw
    ).decode()


# --- the page of the API --------------------------------------------------------------------------
def test_given_docs_when_asked_often_then_rendered_once_and_a_304_for_who_has_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []
    real = docs_page.render_template
    monkeypatch.setattr(
        docs_page,
        "render_template",
        lambda *words, **more: rendered.append(1) or real(*words, **more),
    )
    first = client.get("/docs")
    for headers in ({}, GZIP, {"Host": "127.0.0.1:9"}, {"Host": "localhost:1"}):
        assert client.get("/docs", headers=headers).status_code == 200
    assert client.get("/docs", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    packed = client.get("/docs", headers=GZIP)
    assert text_of(packed) == text_of(first)
    assert (
        client.get("/docs", headers={**GZIP, "If-None-Match": packed.headers["ETag"]}).status_code
        == 304
    )
    assert len(rendered) == 1


def test_given_docs_when_asked_under_many_addresses_then_each_is_shown_its_own_and_few_are_kept(
    app: Flask, client: FlaskClient
) -> None:
    for port in range(9000, 9010):
        page = client.get("/docs", headers={"Host": f"localhost:{port}"}).get_data(as_text=True)
        assert f"http://localhost:{port}/api/v1/jobs" in page
        assert docs_page.MARK not in page
    assert len(app.extensions[docs_page.EXTENSION]._kept) == docs_page.ADDRESSES_KEPT


def test_given_docs_when_read_without_script_then_contents_lead_to_every_call_and_schema(
    client: FlaskClient,
) -> None:
    page = client.get("/docs").get_data(as_text=True)
    parts = re.findall(r'<section class="card call" id="([^"]+)"', page)
    contents = page[: page.index('<section class="card call"')]
    assert set(parts) == set(re.findall(r'<li><a href="#([^"]+)"', contents))
    assert len(parts) > 40
    assert re.search(r"<p [^>]*data-filter hidden>", page), "a box that does nothing is not shown"
    assert re.search(r'<script src="/static/docs\.js\?v=[0-9a-f]{12}" defer>', page)


# --- files ----------------------------------------------------------------------------------------
def test_given_a_page_when_its_files_are_asked_then_by_what_is_in_them_and_for_ever(
    client: FlaskClient,
) -> None:
    named = set(
        re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/sign-in").get_data(as_text=True))
    )
    assert len(named) == 3
    for address in named:
        assert re.search(r"\?v=[0-9a-f]{12}$", address)
        answer = client.get(address)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (
            200,
            "public, max-age=31536000, immutable",
        )
        for other in (address.partition("?")[0], address + "0"):
            assert client.get(other).headers["Cache-Control"] == "no-cache"
            assert (
                client.get(other, headers={"If-None-Match": answer.headers["ETag"]}).status_code
                == 304
            )
    assert client.get("/static/nothing.js").status_code == 404
    assert client.get("/static/../factory.py").status_code == 404


# --- large answers --------------------------------------------------------------------------------
def test_given_large_answers_when_gzip_is_taken_then_packed_and_otherwise_as_they_are(
    shop: Shop, app: Flask
) -> None:
    user = Caller(app, shop.key())
    for _ in range(12):
        shop.order()
    for path in ("/api/v1/jobs", DOCUMENT, "/docs", "/jobs", "/static/surefoot.css"):
        plain, packed = user.get(path), user.get(path, **GZIP)
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip", path
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert "Accept-Encoding" in plain.headers["Vary"]
        assert (
            int(packed.headers["Content-Length"])
            == len(packed.get_data())
            < len(plain.get_data()) / 2
        )
        assert (
            user.get(path, **{"Accept-Encoding": "gzip;q=0, identity"}).headers.get(
                "Content-Encoding"
            )
            is None
        )
    listed = user.get("/api/v1/jobs", **GZIP)
    assert json.loads(text_of(listed)) == user.get("/api/v1/jobs").get_json()
    assert listed.headers["ETag"].startswith("W/")
    for tag in (listed.headers["ETag"], user.get("/api/v1/jobs").headers["ETag"]):
        assert user.get("/api/v1/jobs", **GZIP, **{"If-None-Match": tag}).status_code == 304


def test_given_small_answers_and_problems_when_gzip_is_taken_then_as_they_are(
    shop: Shop, app: Flask
) -> None:
    user = Caller(app, shop.key())
    for path in ("/livez", "/api/v1/jobs", "/nothing"):
        answer = user.get(path, **GZIP)
        assert "Content-Encoding" not in answer.headers
        assert len(answer.get_data()) < LEAST_BYTES
