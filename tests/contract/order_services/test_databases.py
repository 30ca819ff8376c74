"""A service's database when several processes begin at once, and where it lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.app.errors import SettingsError
from surefoot.workers.sagas.order.services import inventory
from surefoot.workers.sagas.order.settings import BankUnknown, order_settings

pytestmark = pytest.mark.slow

# Forked from one process, which has imported everything and opened nothing: they begin closer together than six that import.
BEGIN = """
import os, sys
from surefoot.workers.sagas.order.services import inventory
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.write(1, f"{inventory.seed_if_empty()}\\n".encode())
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_given_empty_database_when_six_processes_begin_at_once_then_one_fills_it_and_none_fails(
    kind: str, home: Path, request: pytest.FixtureRequest
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    if kind == "postgresql":
        environment["DATABASE_URL"] = request.getfixturevalue("fresh_postgres")
    done = subprocess.run(
        [sys.executable, "-c", BEGIN],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert sorted(done.stdout.split()) == ["False"] * 5 + ["True"], done.stderr
    assert done.returncode == 0, done.stderr


def test_given_engine_when_forked_then_the_child_opens_its_own(home: Path) -> None:
    inventory.seed_if_empty()
    parents = inventory.database.engine()
    child = os.fork()
    if child == 0:
        own = inventory.database.engine() is not parents and len(inventory.all_stock()) == 3
        os._exit(0 if own else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert inventory.database.engine() is parents
    assert len(inventory.all_stock()) == 3


def test_given_nothing_said_when_asked_then_files_of_their_own(home: Path) -> None:
    places = [order_settings().database(name) for name in ("order", "inventory", "payment", "bank")]
    assert places == [
        (f"sqlite:///{home}/{name}.sqlite", "")
        for name in ("order", "inventory", "payment", "bank")
    ]


def test_given_postgresql_when_asked_then_schemas_unless_a_service_has_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/surefoot")
    monkeypatch.setenv("SUREFOOT_PAYMENT_DATABASE_URL", "postgresql://db2/payments")
    assert order_settings().database("order") == ("postgresql://db/surefoot", "order_service")
    assert order_settings().database("payment") == ("postgresql://db2/payments", "")


def test_given_bank_url_file_when_nothing_else_says_then_it_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BankUnknown):
        order_settings().bank()
    (home / "bank.url").write_text("http://127.0.0.1:9/\n")
    assert order_settings().bank() == "http://127.0.0.1:9"
    monkeypatch.setenv("SUREFOOT_BANK_URL", "http://bank:1")
    assert order_settings().bank() == "http://bank:1"
    monkeypatch.setenv("SUREFOOT_BANK_URL", "bank:1")
    with pytest.raises(SettingsError, match="SUREFOOT_BANK_URL: must be http"):
        order_settings()
