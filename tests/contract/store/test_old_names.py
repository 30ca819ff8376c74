"""Workers of the release before 0020 go on: PostgreSQL reads, locks and writes through views of the old names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Engine, inspect, text

from surefoot.app.store import old_names
from surefoot.app.store.migrate import _config, upgrade
from surefoot.app.store.schema_version import head
from surefoot.app.store.session import open_engine, reading
from surefoot.app.store.tables import jobs, metadata
from tests.support import earlier_store

RELEASE = "0018"
CLAIM = """
UPDATE operations SET state = 'running', fence = fence + 1, token = 'old', boot = 'old', pid = 1, attempts = attempts + 1,
  started = true, unsettled = unsettled + 1, lease_until = now() + interval '30 s', hard_at = now() + interval '60 s', wait = NULL
WHERE id = :id AND missing = 0 AND NOT stop AND attempts < allowance AND state = 'queued'
RETURNING token, unsettled"""
QUEUED = """
SELECT o.id, o.lane FROM operations o JOIN jobs j ON j.id = o.job_id
WHERE o.state = 'queued' AND o.missing = 0 AND j.dir = 'forward' ORDER BY o.queue_by LIMIT 1 FOR UPDATE OF o SKIP LOCKED"""

LEASE = """
INSERT INTO leases (name, holder, fence, expires_at) VALUES ('x', 'old', 1, now())
ON CONFLICT (name) DO UPDATE SET fence = leases.fence + 1 RETURNING fence"""


@pytest.fixture
def db(fresh_postgres: str) -> Iterator[Engine]:
    """A store with jobs in flight, migrated from that release."""
    db = open_engine(fresh_postgres)
    earlier_store.restore(db, RELEASE, "schema")
    earlier_store.restore(db, RELEASE, "rows")
    upgrade(db)
    yield db
    db.dispose()


def test_given_a_store_in_use_when_migrated_then_each_old_name_is_a_view(db: Engine) -> None:
    with reading(db) as connection:
        found = set(old_names.found(connection))
    assert len(found) == len(metadata.tables) + 1  # the effects, too
    assert {"jobs", "operations", "rounds", "effects"} <= found


def test_given_statements_of_the_release_before_when_run_then_they_read_lock_and_write_the_rows(
    db: Engine,
) -> None:
    with db.begin() as tx:
        chosen = tx.execute(text(QUEUED)).one()
        claimed = tx.execute(text(CLAIM), {"id": chosen.id}).one()
        with db.begin() as other:  # a row that is locked through a view is locked
            second = other.execute(text(QUEUED)).first()
            assert second is None or second.id != chosen.id
    assert tuple(claimed) == ("old", 1)
    with db.begin() as tx:
        new = "SELECT worker_id, unknown_outcomes, wait_reason FROM surefoot_operations WHERE id = :id"
        assert tuple(tx.execute(text(new), {"id": chosen.id}).one()) == ("old", 1, None)
        assert [tx.execute(text(LEASE)).scalar_one() for _ in range(2)] == [1, 2]
        seen = "SELECT outcome FROM effects WHERE id = :id"
        assert tx.execute(text(seen), {"id": chosen.id}).scalar_one_or_none() in ("unknown", None)


def test_given_no_process_of_the_release_before_when_dropped_then_the_tables_stay(
    db: Engine,
) -> None:
    assert len(old_names.drop(db)) == len(metadata.tables) + 1
    assert old_names.drop(db) == []
    with reading(db) as connection:
        assert connection.execute(text("SELECT count(*) FROM surefoot_jobs")).scalar_one() > 10


def test_given_a_team_s_own_view_of_an_old_name_when_dropped_then_it_stays(db: Engine) -> None:
    old_names.drop(db)
    with db.begin() as tx:
        tx.execute(text("CREATE VIEW jobs AS SELECT 'theirs' AS name"))

    assert old_names.drop(db) == []
    with db.connect() as connection:
        assert connection.execute(text("SELECT name FROM jobs")).scalar_one() == "theirs"


def test_given_a_store_when_taken_back_and_migrated_again_then_it_is_as_it_was(
    store_url: str,
) -> None:
    db = open_engine(store_url)
    upgrade(db)
    with db.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0019")
        assert "outcome" in set(connection.execute(text("SELECT * FROM effects")).keys())
        assert "dir" in set(connection.execute(text("SELECT * FROM jobs")).keys())
    assert upgrade(db) == ("0019", head())
    with db.connect() as connection:
        found = {column["name"] for column in inspect(connection).get_columns(jobs.name)}
    assert found == set(jobs.c.keys())
    db.dispose()


def test_given_a_new_store_then_there_are_no_old_names(store_url: str) -> None:
    db = open_engine(store_url)
    upgrade(db)
    with reading(db) as connection:
        assert old_names.found(connection) == []
    db.dispose()
