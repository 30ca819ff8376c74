"""The services of the choreographed order on each database we claim, all clocks short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.workers.sagas.order.services import bank_client, inventory
from surefoot.workers.sagas.order.services.database import close_databases
from tests.support.choreography import SECRET, Bank, Street, hasten

AT_ONCE = (
    "SUREFOOT_EVENTS_HOLD_SECONDS",
    "SUREFOOT_EVENTS_BACKOFF_SECONDS",
    "SUREFOOT_EVENTS_ASK_SECONDS",
    "SUREFOOT_EVENTS_ASK_CAP_SECONDS",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home. Whatever waits for a time is due at once: what happens when is the test's to say."""
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    monkeypatch.setenv("SUREFOOT_EVENTS_SECRET", SECRET)
    for name in AT_ONCE:
        monkeypatch.setenv(name, "0")
    yield tmp_path
    close_databases()


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    """The bank that payments and the ledger speak to."""
    bank = Bank()
    for name in ("charge", "void", "book", "look"):
        monkeypatch.setattr(bank_client, name, getattr(bank, name))
    return bank


@pytest.fixture
def street(home: Path, bank: Bank) -> Iterator[Street]:
    """The services with a SQLite file each. The shelf is full."""
    yield _opened()
    close_databases()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_street(
    request: pytest.FixtureRequest, home: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Street]:
    """The same, once with files and once with schemas of one PostgreSQL: for what rests on locks and conflicts."""
    if request.param == "postgresql":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("fresh_postgres"))
    yield _opened()
    close_databases()


def _opened() -> Street:
    hasten()
    inventory.seed_if_empty()
    return Street()
