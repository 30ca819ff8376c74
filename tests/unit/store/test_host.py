"""What the engine takes from its process comes with the database, and nothing takes it past that."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from surefoot.app.store.host import HERE, Host, host_of, living_in
from surefoot.app.store.session import (
    asking,
    configure_sqlite,
    execute_single,
    reading,
    transaction,
)

APP = Path(__file__).parents[3] / "app"
WAYS_IN = ("transaction", "execute_single", "asking", "reading")
BY_CHANCE = {"random", "secrets", "uuid", "uuid_utils"}
# A migration waits for other processes; reading.py reads a developer's code; the rest are constants and formats
MAY_DRAW = {"store/host.py", "store/migrate.py"}


class Noting(Host):
    """Notes by which way and under which name the database is gone to."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def writing(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        self.noted.append(f"writing {name}")
        return super().writing(db, name)

    def single(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        self.noted.append(f"single {name}")
        return super().single(db, name)

    def reading(self, db: Engine, name: str) -> AbstractContextManager[Connection]:
        self.noted.append(f"reading {name}")
        return super().reading(db, name)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Engine]:
    made = configure_sqlite(create_engine(f"sqlite:///{tmp_path}/host.sqlite"))
    yield made
    made.dispose()


def test_given_a_database_with_a_host_when_gone_to_then_the_host_hears_of_it_by_name(
    plain: Engine,
) -> None:
    host = Noting()
    db = living_in(plain, host)
    assert transaction(db, lambda tx: host_of(tx), name="a.b") is host
    execute_single(db, lambda tx: tx.execute(text("SELECT 1")), name="a.c")
    with reading(db, name="a.d") as connection:
        assert host_of(connection) is host
    assert host.noted == ["writing a.b", "single a.c", "reading a.d"]


def test_given_a_database_without_one_when_gone_to_then_the_host_is_this_process(
    plain: Engine,
) -> None:
    living_in(plain, Noting())
    with asking(plain) as connection:
        assert host_of(connection) is HERE


def test_given_a_host_when_asked_what_it_remembers_then_one_of_a_kind_until_it_forgets() -> None:
    host = Host()
    kept = host.remembered(Noting)
    assert host.remembered(Noting) is kept
    host.forget()
    assert host.remembered(Noting) is not kept


def test_given_the_engine_when_it_goes_to_the_database_then_each_time_under_a_name() -> None:
    unnamed = [
        f"{path.relative_to(APP)}:{call.lineno}"
        for path in (APP / "engine").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in WAYS_IN
        and not any(keyword.arg == "name" for keyword in call.keywords)
    ]
    assert unnamed == []


def test_given_engine_and_store_then_none_of_them_draws_by_chance_but_through_its_host() -> None:
    found = {
        str(path.relative_to(APP))
        for folder in ("engine", "store", "limits", "rules")
        for path in (APP / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        and BY_CHANCE & {name.name.partition(".")[0] for name in node.names}
    }
    assert found == MAY_DRAW
