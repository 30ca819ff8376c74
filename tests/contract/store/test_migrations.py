"""The migrations lead to what the tables say, and a store of another shape is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from app.errors import SettingsError
from app.store.migrate import MIGRATIONS, _config, check, head, upgrade
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


@pytest.mark.parametrize("revision", ["0001", None])
def test_given_a_store_that_is_older_than_the_code_then_it_is_refused_in_one_sentence(store_url: str, revision: str | None) -> None:
    db = open_engine(store_url)
    if revision is not None:
        upgrade(db)
        set_revision(db, revision)
    with pytest.raises(SettingsError, match=f"DATABASE_URL: the store is at revision {revision or 'none'}"):
        check(db)
    db.dispose()


def test_given_a_store_that_is_newer_than_the_code_then_the_code_runs_on_it_and_does_not_migrate_it(store_url: str) -> None:
    db = open_engine(store_url)
    upgrade(db)
    set_revision(db, "9999")
    check(db)
    with pytest.raises(SettingsError, match="newer"):
        upgrade(db)
    db.dispose()


def set_revision(db: Engine, revision: str) -> None:
    with db.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_given_letters_of_the_first_shape_when_migrated_then_each_bears_its_tenant_and_its_job_since_when_it_asks(store_url: str) -> None:
    db = open_engine(store_url)
    with db.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in _A_JOB_IN_ATTENTION:
            connection.execute(text(statement))
    upgrade(db)
    with db.connect() as connection:
        letter = connection.execute(text("SELECT tenant_id, created_at, redrive_at FROM dead_letters")).one()
        job = connection.execute(text("SELECT tenant_id, attention_since, owner FROM jobs")).one()
    assert (letter.tenant_id, letter.created_at, letter.redrive_at) == (job.tenant_id, job.attention_since, None)
    assert job.attention_since is not None and job.owner is None
    db.dispose()


_ID = "0190e0000000700080000000000000"
_A_JOB_IN_ATTENTION = (
    f"INSERT INTO tenants (id, name) VALUES ('{_ID}01', 'acme')",
    "INSERT INTO definitions (digest, saga, version, graph, input_schema, registered_at)"
    " VALUES ('d', 'shop', 1, '{}', '{}', CURRENT_TIMESTAMP)",
    "INSERT INTO jobs (id, tenant_id, saga, version, digest, state, dir, cancel_wish, input, tags, priority, created_by, created_at, late,"
    f" seq, rev) VALUES ('{_ID}02', '{_ID}01', 'shop', 1, 'd', 'attention', 'forward', false, '{{}}', '[]', 0, 'Ada', CURRENT_TIMESTAMP,"
    " false, 0, 0)",
    "INSERT INTO operations (id, job_id, step, kind, item, rank, lane, state, missing, queue_s, resent, fence, attempts, allowance,"
    " started, effectful, no_return, unsettled, stop)"
    f" VALUES ('{_ID}03', '{_ID}02', 'pay', 'action', '', 0, 'a', 'failed', 0, 60, 0, 1, 1, 1, true, true, true, 1, false)",
    "INSERT INTO dead_letters (id, job_id, operation_id, saga, step, item, kind, why, attempts, blocking, needs_person, state)"
    f" VALUES ('{_ID}04', '{_ID}02', '{_ID}03', 'shop', 'pay', '', 'action', 'exhausted', 1, true, true, 'open')",
)
