"""The order saga's services on each database we claim, and a bank that speaks real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from werkzeug.serving import make_server

from surefoot import Context
from surefoot.workers.sagas.order.models import OrderRequest
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.services.bank import create_bank
from surefoot.workers.sagas.order.services.database import close_databases


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home: every service has a SQLite file of its own in it. Times are short."""
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    for name, value in (
        ("SUREFOOT_BANK_TIMEOUT_SECONDS", "5"),
        ("SUREFOOT_BANK_SLOW_SECONDS", "0.5"),
        ("SUREFOOT_BANK_HANG_SECONDS", "3"),
        ("SUREFOOT_RESERVE_WAIT_SECONDS", "0"),
    ):
        monkeypatch.setenv(name, value)
    yield tmp_path
    close_databases()


@pytest.fixture(params=["sqlite", "postgresql"])
def services(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The services' databases: files of their own, then schemas of one PostgreSQL. The shelf is full."""
    if request.param == "postgresql":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("fresh_postgres"))
    inventory.seed_if_empty()
    yield str(request.param)
    close_databases()


@pytest.fixture
def bank(services: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bank, told to the payment service."""
    server = make_server("127.0.0.1", 0, create_bank(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv("SUREFOOT_BANK_URL", url)
    yield url
    server.shutdown()
    thread.join(20)
    server.server_close()


@pytest.fixture(scope="session")
def _client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


@pytest.fixture
def http(bank: str, _client: httpx.Client) -> httpx.Client:
    """A client that speaks to the bank."""
    _client.base_url = bank
    return _client


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def context() -> Callable[..., Context]:
    """A step's context: context("charge_card"), context("charge_card", "undo", job="job-2")."""

    def make(step: str, kind: str = "action", *, job: str = "job-1", **more: Any) -> Context:
        return Context(job_id=job, saga="order", step=step, kind=kind, **more)

    return make


@pytest.fixture
def request_of() -> Callable[..., OrderRequest]:
    """An order's input with some fields said."""

    def make(**fields: Any) -> OrderRequest:
        usual = {
            "customer": "Ada",
            "email": "ada@example.org",
            "sku": "apple",
            "quantity": 3,
            "amount_cents": 1250,
            "card": "tok_ok",
        }
        return OrderRequest(**{**usual, **fields})

    return make
