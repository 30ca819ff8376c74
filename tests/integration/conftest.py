"""A shop in one process, its web application, and callers of it. A file that is for both databases says so by `shop_url`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.contract.views.shop import Caller, Shop


@pytest.fixture
def shop_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def shop(shop_url: str) -> Iterator[Shop]:
    world = Shop(shop_url)
    yield world
    world.close()


@pytest.fixture
def app(shop: Shop) -> Flask:
    return shop.web()


@pytest.fixture
def user(shop: Shop, app: Flask) -> Caller:
    return Caller(app, shop.key())


@pytest.fixture
def platform(shop: Shop, app: Flask) -> Caller:
    return Caller(app, shop.key("platform"))


@pytest.fixture
def operator(shop: Shop, app: Flask) -> Caller:
    return Caller(app, shop.key("operator"))
