"""The migrations lead to what the tables say, and a store of another shape is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from app.errors import SettingsError
from app.store.migrate import MIGRATIONS, check, head, upgrade
from app.store.session import open_engine
from app.store.tables import EFFECTS_VIEW, metadata


def test_given_an_empty_store_when_migrated_then_it_is_what_the_tables_say(store_url: str) -> None:
    db = open_engine(store_url)
    assert upgrade(db) == (None, head())
    assert upgrade(db) == (head(), head())
    check(db)
    with db.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
        columns = connection.execute(text("SELECT * FROM effects")).keys()
    assert {"outcome", "undo_state", "fidelity"} <= set(columns)
    db.dispose()


def test_given_the_view_of_the_newest_migration_then_it_is_the_one_the_tables_name() -> None:
    with_view = [
        source for source in (file.read_text() for file in sorted((MIGRATIONS / "versions").glob("0*.py"))) if "EFFECTS_VIEW" in source
    ]
    assert EFFECTS_VIEW.strip() in with_view[-1]


def test_given_several_processes_when_they_migrate_at_once_then_all_succeed(store_url: str) -> None:
    dbs = [open_engine(store_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = [future.result() for future in [pool.submit(upgrade, db) for db in dbs]]
    assert {after for _, after in found} == {head()}
    for db in dbs:
        db.dispose()


@pytest.mark.parametrize("revision", ["0000", None])
def test_given_a_store_of_another_shape_then_it_is_refused_in_one_sentence(store_url: str, revision: str | None) -> None:
    db = open_engine(store_url)
    if revision is not None:
        upgrade(db)
        with db.begin() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(SettingsError, match="newer"):
            upgrade(db)
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        check(db)
    db.dispose()
