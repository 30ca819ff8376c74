"""A store of the release before, with jobs in flight: this code migrates it, and every job ends as it should."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, select

from surefoot.app.engine.operators.redrive import redrive_job
from surefoot.app.engine.operators.resubmit import Asked
from surefoot.app.rules.events import HistoryEvent, named
from surefoot.app.saga.naming import effect_key
from surefoot.app.store.migrate import upgrade
from surefoot.app.store.schema_version import current, head
from surefoot.app.store.session import open_engine, reading
from surefoot.app.store.tables import dead_letters, history, jobs, operations
from tests.support import earlier_store
from tests.support.earlier_store import ENDED, IN_FLIGHT, Kept
from tests.support.world import World, let_pass

REVISIONS = sorted(place.name for place in earlier_store.FIXTURES.iterdir())
ATTENTION = {name for name, state in IN_FLIGHT.items() if state == "attention"}


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def db(store_url: str, revision: str) -> Iterator[Engine]:
    """The tables of that release, without rows."""
    yield from _of_release(store_url, revision)


@pytest.fixture
def postgres_db(fresh_postgres: str, revision: str) -> Iterator[Engine]:
    """The same on PostgreSQL, where processes of that release go on after the migration."""
    yield from _of_release(fresh_postgres, revision)


def _of_release(url: str, revision: str) -> Iterator[Engine]:
    db = open_engine(url)
    earlier_store.restore(db, revision, "schema")
    assert current(db) == revision
    yield db
    db.dispose()


def reopened(db: Engine, revision: str) -> tuple[World, Kept]:
    """The world after the deploy, as soon after the rows were written as their release saw it."""
    kept = earlier_store.read(db, revision)
    let_pass(db, -(datetime.now(UTC) - kept.at).total_seconds())
    return World.on(db, earlier_store.sagas(kept.service), kept.service), kept


def land_all(world: World, kept: Kept) -> dict[str, str]:
    return {name: world.land(job) for name, job in kept.jobs.items()}


def books(world: World, job: str) -> dict[str, str]:
    """step -> what the service knows of its effect: done, undone or nothing."""
    done = world.service.done
    with reading(world.db) as connection:
        steps = connection.scalars(select(operations.c.step).where(operations.c.job_id == job))
        return {step: _book(done, job, step) for step in set(steps)}


def _book(done: dict[str, str], job: str, step: str) -> str:
    if done.get(effect_key(job, step, "", "undo")) == "done":
        return "undone"
    return "done" if done.get(effect_key(job, step, "", "action")) == "done" else "nothing"


def agree(world: World, kept: Kept, ended: dict[str, str]) -> None:
    """Whether the service has all effects of what was completed, and none that stands of the rest."""
    for name, state in ended.items():
        found = set(books(world, kept.jobs[name]).values())
        assert found == {"done"} if state == "completed" else "done" not in found, name
    assert world.broken() == {}


def test_given_a_store_of_the_release_before_when_migrated_then_its_jobs_end_as_they_should(
    db: Engine, revision: str
) -> None:
    earlier_store.restore(db, revision, "rows")
    assert upgrade(db) == (revision, head())
    world, kept = reopened(db, revision)
    assert land_all(world, kept) == {**IN_FLIGHT, **ENDED}
    assert letters(db) == {kept.jobs[name] for name in ATTENTION}
    with reading(db) as connection:
        found = {named(event) for event in connection.scalars(select(history.c.event))}
    assert found <= set(HistoryEvent)

    for name in ATTENTION:
        asked = Asked("test", "it is back")
        world.rung(redrive_job(world.entrance, kept.jobs[name], asked))
    ended = land_all(world, kept)
    after = {"undo given up": "failed", "given up past the pivot": "completed"}
    assert ended == {**IN_FLIGHT, **ENDED, **after}
    assert letters(db) == set()
    agree(world, kept, ended)


def test_given_rows_of_the_release_before_when_written_after_the_migration_then_they_are_served(
    postgres_db: Engine, revision: str
) -> None:
    """As by a worker that has not been replaced yet: what is new has a default or may be absent."""
    db = postgres_db
    assert upgrade(db) == (revision, head())
    earlier_store.restore(db, revision, "rows")
    world, kept = reopened(db, revision)
    assert land_all(world, kept) == {**IN_FLIGHT, **ENDED}
    with reading(db) as connection:
        assert len(connection.scalars(select(jobs.c.id)).all()) == len(kept.jobs)
    assert world.broken() == {}


def letters(db: Engine) -> set[Any]:
    """The jobs with an open dead letter."""
    with reading(db) as connection:
        asked = select(dead_letters.c.job_id).where(dead_letters.c.state == "open")
        return set(connection.scalars(asked))
