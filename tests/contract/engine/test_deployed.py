"""Which definition a new job is pinned to: what is deployed, not what was ever seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from surefoot.app.cli.sagas import retire, versions
from surefoot.app.config import settings
from surefoot.app.engine.worker import leases
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.errors import UnknownSaga
from surefoot.app.explain import why
from surefoot.app.saga.definition import Saga
from surefoot.app.saga.registry import Registry
from surefoot.app.store.catalogue import register
from surefoot.app.store.session import reading
from surefoot.app.store.views import sagas_view, stats
from tests.support.world import Participant, Thing, World


def parcel(version: int, sla: str = "1h") -> Saga[Any]:
    saga = Saga("parcel", version=version, input=Thing, sla=sla)
    saga.step(lane="parcels", undo=None)(pack)
    return saga


def pack(ctx: Any, o: Any) -> str:
    return "packed"


OLD, CHANGED, NEW = parcel(1), parcel(1, sla="2h"), parcel(2)


@pytest.fixture
def world(ready_url: str) -> Iterator[World]:
    made = World(ready_url, [OLD], Participant())
    made.registry = Registry()  # a web server without the code of any saga
    yield made
    made.db.dispose()


def start(world: World, worker_id: str, saga: Saga[Any]) -> None:
    """A worker with this code signs on."""
    register(world.db, [saga])
    leases.register_worker(
        world.db,
        worker_id,
        WorkerProcess(host="here", pid=1, lanes=["parcels"], digests=[saga.digest], concurrency=1),
    )


def pinned(world: World) -> str:
    """The digest that a job gets which is submitted now."""
    return str(world.job(world.submit()).digest)


def test_given_a_deploy_that_is_rolled_back_then_new_jobs_get_the_old_definition(
    world: World,
) -> None:
    start(world, "old", OLD)
    start(world, "new", NEW)
    assert pinned(world) == NEW.digest, "the highest version that somebody has"
    leases.worker_stopped(world.db, "new")
    assert pinned(world) == OLD.digest
    assert sagas_view(world.db)["items"][0]["digest"] == OLD.digest


def test_given_all_workers_replaced_and_put_back_then_new_jobs_get_the_old_definition(
    world: World,
) -> None:
    for worker_id, saga, before in (("one", OLD, ""), ("two", NEW, "one"), ("three", OLD, "two")):
        if before:
            leases.worker_stopped(world.db, before)
        start(world, worker_id, saga)
        assert pinned(world) == saga.digest
    leases.worker_stopped(world.db, "three")
    assert pinned(world) == OLD.digest, "nobody is there: what workers had last"


def test_given_an_old_worker_that_starts_again_while_newer_code_is_deployed_then_new_jobs_get_the_newer(
    world: World,
) -> None:
    start(world, "one", OLD)
    start(world, "two", CHANGED)
    start(world, "one again", OLD)
    assert pinned(world) == CHANGED.digest
    leases.worker_stopped(world.db, "two")
    assert pinned(world) == OLD.digest, "the change is rolled back, under the same version"


def test_given_a_worker_that_is_killed_then_its_definition_is_deployed_until_it_counts_as_gone(
    world: World,
) -> None:
    start(world, "old", OLD)
    start(world, "new", NEW)
    for _ in range(3):
        world.let_pass(11)
        assert leases.worker_seen(world.db, "old", [OLD.digest])
    assert pinned(world) == OLD.digest


def test_given_a_worker_that_lives_then_its_definition_stays_deployed_however_long(
    world: World,
) -> None:
    start(world, "new", NEW)
    register(world.db, [CHANGED])
    for _ in range(10):
        world.let_pass(9)
        leases.worker_seen(world.db, "new", [NEW.digest])
        assert pinned(world) == NEW.digest


def test_given_no_worker_then_a_job_gets_the_definition_of_the_process_that_accepts_it(
    world: World,
) -> None:
    register(world.db, [NEW])
    world.registry = Registry([OLD])
    assert pinned(world) == OLD.digest
    start(world, "new", NEW)
    assert pinned(world) == NEW.digest, "with one, what it has: that job runs"


def test_given_a_version_that_is_retired_then_no_new_job_gets_it_whoever_has_it_and_it_can_be_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", world.db.url.render_as_string(hide_password=False))
    settings.cache_clear()
    start(world, "old", OLD)
    start(world, "new", NEW)
    world.submit()
    done = CliRunner().invoke(retire, ["parcel", "2", "--reason", "rolled back"])
    assert done.exit_code == 0, done.output
    assert "New jobs get version 1" in done.output and "1 open jobs are pinned to it" in done.output
    start(world, "new again", NEW)
    assert pinned(world) == OLD.digest
    shown = CliRunner().invoke(versions, ["parcel"])
    assert "rolled back" in shown.output
    assert CliRunner().invoke(retire, ["parcel", OLD.digest, "--reason", "closing"]).exit_code == 0
    with pytest.raises(UnknownSaga, match="every version of saga 'parcel' is retired"):
        world.submit()
    assert (
        CliRunner().invoke(retire, ["parcel", "2", "--reason", "mended", "--back"]).exit_code == 0
    )
    assert pinned(world) == NEW.digest
    assert CliRunner().invoke(retire, ["parcel", "7", "--reason", "none"]).exit_code != 0


def test_given_a_job_whose_definition_nobody_has_then_it_is_named_at_once(world: World) -> None:
    start(world, "old", OLD)
    start(world, "new", NEW)
    job = world.submit()
    leases.worker_stopped(world.db, "new")
    with reading(world.db) as connection:
        (stranded,) = stats.stranded_versions(connection)
    assert (stranded.saga, stranded.version, stranded.digest, stranded.jobs) == (
        "parcel",
        2,
        NEW.digest,
        1,
    )
    answer = why(world.db, job, None)
    assert "no live worker of lane parcels has definition" in answer["sentence"]
    assert answer["waiting_for"][0]["kind"] == "version"
