"""What the relay deletes because it is old, and what it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import DBAPIError

from surefoot.app.access import keys, sessions
from surefoot.app.config import Settings
from surefoot.app.engine.relay.duties import retention
from surefoot.app.store.ids import new_id
from surefoot.app.store.session import reading
from surefoot.app.store.tables import acts
from surefoot.app.store.tables import sessions as table
from tests.support.world import World

ROWS = 3


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def an_act(world: World, days: float, job_id: str | None = None, part_of: str | None = None) -> str:
    row: dict[str, Any] = {
        "id": new_id(),
        "at": days_ago(days),
        "actor": "cli:ada",
        "act": "cancel",
    }
    row |= {"object_kind": "job", "object_id": job_id or "x", "job_id": job_id, "part_of": part_of}
    with world.db.begin() as tx:
        tx.execute(insert(acts).values(**row))
    return str(row["id"])


def left(world: World, of: Any) -> set[str]:
    with reading(world.db) as connection:
        return set(connection.scalars(select(of.c.id)))


def deleted(world: World, **told: Any) -> int:
    """How many rows a relay deletes that has been there for long."""
    settings = world.settings.model_copy(update={"sweep_rows": ROWS, **told})
    duty = retention.Retention(world.db, settings)
    assert duty.run_once() == 0, "not before its time"
    duty.due_at = 0.0
    return duty.run_once()


def test_given_acts_of_all_ages_when_the_relay_comes_then_only_old_ones_of_ended_jobs_go(
    world: World,
) -> None:
    ended_job = world.submit()
    assert world.land(ended_job) == "completed"
    open_job = world.submit()
    kept = {an_act(world, 399), an_act(world, 1, ended_job), an_act(world, 5000, open_job)}
    many = an_act(world, 5000)
    gone = {many, an_act(world, 5000, ended_job), an_act(world, 401, "0" * 8 + new_id()[8:])}
    gone |= {an_act(world, 5000, ended_job, part_of=many) for _ in range(ROWS * 2)}
    assert deleted(world, acts_days=0) == 0
    assert deleted(world, acts_days=400) == len(gone)
    assert left(world, acts) == kept
    assert deleted(world, acts_days=400) == 0


def test_given_more_than_it_takes_at_once_when_the_relay_comes_again_then_the_rest_goes(
    world: World,
) -> None:
    for _ in range(ROWS * retention.BATCHES + 1):
        an_act(world, 5000)
    assert deleted(world) == ROWS * retention.BATCHES
    assert deleted(world) == 1


def test_given_an_act_younger_than_a_year_when_anybody_deletes_it_then_the_store_refuses(
    world: World,
) -> None:
    young, old = an_act(world, 364), an_act(world, 366)
    with pytest.raises(DBAPIError, match="acts are kept"), world.db.begin() as tx:
        tx.execute(delete(acts).where(acts.c.id == young))
    with world.db.begin() as tx:
        tx.execute(delete(acts).where(acts.c.id == old))
    with pytest.raises(DBAPIError, match="acts are kept"), world.db.begin() as tx:
        tx.execute(acts.update().values(actor="nobody"))
    assert left(world, acts) >= {young}


def test_given_sessions_when_the_relay_comes_then_those_that_are_long_over_go(
    world: World,
) -> None:
    key_id, _ = keys.create(world.db, name="ada")
    limits = sessions.Limits(3600, 43200)
    token = sessions.begin(world.db, key_id, address=None, agent="")
    found = sessions.find(world.db, token, limits)
    assert found is not None
    old = {"key_id": key_id, "address": "", "agent": ""}
    ages = {new_id(): days for days in (0.4, 89, 90.4, 90.6, 400)}
    with world.db.begin() as tx:
        for number, (one, days) in enumerate(ages.items()):
            row = old | {"id": one, "hash": f"{number:064}", "made_at": days_ago(days)}
            tx.execute(insert(table).values(**row))
    assert deleted(world) == 2
    assert left(world, table) == {found.id} | {one for one, days in ages.items() if days < 90.5}
    assert sessions.find(world.db, token, limits) is not None


@pytest.mark.parametrize("days", [-1, 1, 364])
def test_given_days_that_the_store_does_not_allow_when_set_then_refused(days: int) -> None:
    with pytest.raises(ValidationError):
        Settings(acts_days=days)
