"""The migrations lead to what the tables say, and a store of another shape is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, text

from surefoot.app.errors import SettingsError, StoreUnavailable
from surefoot.app.store.migrate import LOCK_WAIT_S, _config, reshape, upgrade
from surefoot.app.store.schema_version import MIGRATIONS, check, current, head, known
from surefoot.app.store.session import open_engine, reading, transaction
from surefoot.app.store.tables import EFFECTS_VIEW, metadata


@pytest.mark.filterwarnings(
    "ignore:.*expression-based index .?ix_jobs_name"
)  # of SQLite it cannot be compared
def test_given_an_empty_store_when_migrated_then_it_is_what_the_tables_say(store_url: str) -> None:
    db = open_engine(store_url)
    assert upgrade(db) == (None, head())
    assert upgrade(db) == (head(), head())
    check(db)
    with db.connect() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), metadata
            )
            == []
        )
        columns = connection.execute(text("SELECT * FROM surefoot_effects")).keys()
    assert {"outcome", "undo_state", "fidelity"} <= set(columns)
    db.dispose()


def test_given_the_view_of_the_newest_migration_then_it_is_the_one_the_tables_name() -> None:
    with_view = [
        source
        for source in (file.read_text() for file in sorted((MIGRATIONS / "versions").glob("0*.py")))
        if "EFFECTS_VIEW" in source
    ]
    assert EFFECTS_VIEW.strip() in with_view[-1]


def test_given_the_migrations_files_then_their_numbers_are_their_revisions_one_after_the_other() -> (
    None
):
    revisions = list(ScriptDirectory.from_config(_config()).walk_revisions())
    assert [script.revision for script in reversed(revisions)] == list(known())
    assert [script.down_revision for script in reversed(revisions)] == [None, *known()[:-1]]


def test_given_several_processes_when_they_migrate_at_once_then_all_succeed(store_url: str) -> None:
    dbs = [open_engine(store_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = [future.result() for future in [pool.submit(upgrade, db) for db in dbs]]
    assert {after for _, after in found} == {head()}
    for db in dbs:
        db.dispose()


@pytest.mark.parametrize("revision", ["0001", None])
def test_given_a_store_that_is_older_than_the_code_then_it_is_refused_in_one_sentence(
    store_url: str, revision: str | None
) -> None:
    db = open_engine(store_url)
    if revision is not None:
        upgrade(db)
        set_revision(db, revision)
    with pytest.raises(
        SettingsError, match=f"DATABASE_URL: the store is at revision {revision or 'none'}"
    ):
        check(db)
    db.dispose()


def test_given_a_store_that_is_newer_than_the_code_then_the_code_runs_on_it_and_does_not_migrate_it(
    store_url: str,
) -> None:
    db = open_engine(store_url)
    upgrade(db)
    set_revision(db, "9999")
    check(db)
    with pytest.raises(SettingsError, match="newer"):
        upgrade(db)
    db.dispose()


def set_revision(db: Engine, revision: str) -> None:
    with db.begin() as tx:
        tx.execute(
            text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision}
        )


def test_given_letters_of_the_first_shape_when_migrated_then_each_bears_its_tenant_and_its_job_since_when_it_asks(
    store_url: str,
) -> None:
    db = open_engine(store_url)
    upgrade_to(db, "0001")
    with db.begin() as connection:
        for statement in _A_JOB_IN_ATTENTION:
            connection.execute(text(statement))
    upgrade(db)
    with db.connect() as connection:
        letter = connection.execute(
            text("SELECT tenant_id, created_at, redrive_at FROM surefoot_dead_letters")
        ).one()
        job = connection.execute(
            text("SELECT tenant_id, attention_since, owner FROM surefoot_jobs")
        ).one()
    assert (letter.tenant_id, letter.created_at, letter.redrive_at) == (
        job.tenant_id,
        job.attention_since,
        None,
    )
    assert job.attention_since is not None and job.owner is None
    db.dispose()


def upgrade_to(db: Engine, revision: str) -> None:
    with db.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


USES_A_TABLE = "UPDATE jobs SET owner = 'Ada' WHERE state = 'attention'"


def test_given_a_transaction_that_uses_a_table_when_migrated_then_others_go_on_and_it_is_done_when_that_one_ends(
    store_url: str,
) -> None:
    db, others = open_engine(store_url, patience_s=30), open_engine(store_url)
    upgrade_to(db, "0003")
    with ThreadPoolExecutor(1) as pool:
        with others.begin() as tx:
            tx.execute(text(USES_A_TABLE))
            migrated = pool.submit(upgrade, db, 60.0)
            with pytest.raises(TimeoutError):
                migrated.result(timeout=3 * LOCK_WAIT_S)
            if (
                db.dialect.name == "postgresql"
            ):  # SQLite has one writer, and that is the one who does not end
                transaction(others, lambda connection: connection.execute(text(USES_A_TABLE)))
            with reading(others) as connection:
                assert connection.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0
        assert migrated.result(timeout=30) == ("0003", head())
    db.dispose()
    others.dispose()


def test_given_a_transaction_that_does_not_end_when_migrated_then_the_wait_has_an_end_and_nothing_is_changed(
    store_url: str,
) -> None:
    db, others = open_engine(store_url, patience_s=0.2), open_engine(store_url)
    upgrade_to(db, "0003")
    with others.begin() as tx:
        tx.execute(text(USES_A_TABLE))
        with pytest.raises(
            StoreUnavailable,
            match=r"SUREFOOT_MIGRATION_WAIT_SECONDS: for 0\.1 s somebody else held",
        ):
            upgrade(db, 0.1)
    assert current(db) == "0003"
    db.dispose()
    others.dispose()


def test_given_a_migration_that_stands_crosswise_to_somebody_when_the_database_ends_one_then_both_are_done(
    fresh_postgres: str,
) -> None:
    db = open_engine(fresh_postgres)
    upgrade(db)
    tries: list[str] = []
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as other_pool:
        both_hold_one = Barrier(2)

        def meet() -> None:
            if len(tries) < 2:
                both_hold_one.wait(10)

        def change(tx: Connection) -> None:
            tx.execute(text("LOCK TABLE surefoot_jobs"))
            meet()
            tries.append("migration")
            tx.execute(text("ALTER TABLE surefoot_operations ADD COLUMN new TEXT"))

        def work(tx: Connection) -> None:
            tx.execute(text("DELETE FROM surefoot_operations"))
            meet()
            tries.append("work")
            tx.execute(text("DELETE FROM surefoot_jobs"))

        ran = [pool.submit(reshape, db, change), other_pool.submit(transaction, db, work)]
        for future in ran:
            future.result(timeout=60)
    assert len(tries) > 2, "nobody was in the other's way"
    db.dispose()


def test_given_a_migration_that_takes_longer_than_any_statement_may_then_it_is_waited_for(
    fresh_postgres: str,
) -> None:
    made = open_engine(fresh_postgres)
    upgrade_to(made, "0003")
    made.dispose()
    db = open_engine(
        fresh_postgres, silence_s=3.0
    )  # a statement has two of these, which a busy machine needs now and then

    @event.listens_for(db, "before_cursor_execute", retval=True)
    def make_a_large_table(
        _connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> tuple[str, object]:
        return statement.replace(
            "CREATE INDEX ix_jobs_saga", "SELECT pg_sleep(4); CREATE INDEX ix_jobs_saga"
        ), parameters

    assert upgrade(db) == ("0003", head())
    with pytest.raises(StoreUnavailable), reading(db) as connection:
        connection.execute(text("SELECT pg_sleep(20)"))  # the usual bounds are back
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
