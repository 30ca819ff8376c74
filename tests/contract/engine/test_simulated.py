"""Schedules of the simulation on PostgreSQL: the statements that only PostgreSQL runs, under the same faults."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from surefoot.app.cli.simulate import simulate as command
from surefoot.app.simulation.postgres import PostgresStore, run_prefix
from surefoot.app.simulation.run import Elsewhere, quietly, simulate
from surefoot.app.simulation.schedule import run
from surefoot.app.simulation.store import SimStore, store_of_this_process
from surefoot.app.store.tables import (
    dead_letters,
    history,
    idempotency_keys,
    job_tags,
    jobs,
    lock_waiters,
    locks,
    operations,
    reconciliations,
    workers,
)
from tests.support.planted_statements import planted
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.slow

TABLES = (
    *(jobs, operations, history, dead_letters, idempotency_keys),
    *(job_tags, locks, lock_waiters, workers, reconciliations),
)
SKIPPED = {"token", "rev"}  # drawn by chance; how many statements wrote to the job
CLOSE_S = 0.002  # SQLite keeps what it computes to the millisecond
ALIKE = (9, 10, 100, 102, 105, 107, 111)  # of those with no two rows of one moment
LONG = range(1000, 1100)  # others than on SQLite

# mistake in what PostgreSQL runs -> a number whose schedule shows it
KNOWN = {
    "a completion does not ask for its token": 53,
    "a completion never ends its job": 107,
    "a completion leaves no line": 100,
    "a completion releases a follower too early": 3,
    "a claim by a completion is not counted": 107,
    "a claim takes what runs": 9,
}


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[SimStore]:
    made = PostgresStore(url, run_prefix())
    yield made
    made.engine.dispose()


def rows(store: SimStore) -> dict[str, list[dict[str, Any]]]:
    """All that is in the store."""
    with store.engine.connect() as connection:
        return {
            table.name: [
                {name: value for name, value in row.items() if name not in SKIPPED}
                for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in TABLES
        }


def alike(one: Any, other: Any) -> bool:
    """The same, but for what SQLite rounds."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, datetime) and isinstance(other, datetime):
        return abs((one - other).total_seconds()) <= CLOSE_S
    return bool(one == other)


@pytest.mark.parametrize("seed", ALIKE)
def test_given_one_number_when_run_on_both_stores_then_all_goes_the_same_way(
    store: SimStore, seed: int
) -> None:
    in_memory = store_of_this_process()
    there, here = quietly(run, seed, store=store), quietly(run, seed, store=in_memory)
    assert there.problems == here.problems == []
    assert there.trace == here.trace
    assert (there.points, there.answers) == (here.points, here.answers)
    kept, expected = rows(store), rows(in_memory)
    for table in TABLES:
        assert alike(kept[table.name], expected[table.name]), table.name
    assert expected["surefoot_history"] and there.answers["ok"]


@pytest.mark.parametrize("mistake", KNOWN)
def test_given_a_guard_taken_out_of_a_statement_then_its_known_schedule_shows_it(
    store: SimStore, mistake: str
) -> None:
    with planted(mistake):
        assert quietly(run, KNOWN[mistake], store=store).failed
    assert not quietly(run, KNOWN[mistake], store=store).failed


def test_given_a_database_then_a_part_runs_there_and_nothing_is_left_in_it(url: str) -> None:
    there = Elsewhere(url, every=2)
    tally = simulate(4, seed=100, elsewhere=there)
    assert (tally.schedules, tally.on_postgresql, tally.failures) == (4, 2, [])
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        schemas = {name for (name,) in connection.execute("SELECT nspname FROM pg_namespace")}
    assert "public" in schemas and not [n for n in schemas if n.startswith(there.prefix)]


def test_given_a_url_that_is_not_postgresqls_then_the_command_says_what_is() -> None:
    done = CliRunner().invoke(command, ["--schedules", "1", "--postgresql", "sqlite:///x"])
    assert done.exit_code == 2 and "postgresql://user@host:port/database" in done.output


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_given_many_schedules_on_postgresql_then_every_job_lands(url: str) -> None:
    there = Elsewhere(url, every=1)
    tally = simulate(len(LONG), seed=LONG.start, jobs=2, elsewhere=there)
    assert [f"seed {failed.seed}: {failed.problems[0]}" for failed in tally.failures] == []
    assert tally.on_postgresql == len(LONG)
